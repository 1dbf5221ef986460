"""Schedule of Sapper: the marches its steps are divided into, the levels it approaches, and its moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from vauban.core.goals import ResolvedGoal
from vauban.core.losses import Loss, defended, logit_of, margin, rivals
from vauban.core.tensors import flat

SCOUTED = 60  # fewer steps than this are one march
SCOUT, REFINE = 0.14, 0.3  # of the steps: each scout, the last phase
TINY = 1e-12
FAR = 1e6
SPARE, STRIDE = 1.5, 0.5


@dataclass(frozen=True)
class Phase:
    """One march of Sapper.

    Attributes:
        number: From 0.
        length: Steps.
        refines: The last one, which starts from the nearest success.
    """

    number: int
    length: int
    refines: bool = False

    @property
    def scouts(self) -> bool:
        """Whether the march is toward one class."""
        return self.number > 0 and not self.refines


@lru_cache
def phases(steps: int, scouts: int) -> tuple[tuple[Phase, int], ...]:
    """The march of each step, and how many steps of it came before.

    Args:
        steps: Steps of a run.
        scouts: Marches toward one class at most; there are as many as leave the first march the steps of one.
    """
    if steps < SCOUTED:
        return tuple((Phase(0, steps), age) for age in range(steps))
    scout, refine = round(SCOUT * steps), round(REFINE * steps)
    scouts = min(scouts, (steps - refine) // scout - 1)
    later = [scout] * scouts + [refine]
    lengths = [steps - sum(later), *later]
    made = [Phase(k, length, k == scouts + 1) for k, length in enumerate(lengths)]
    return tuple((phase, age) for phase in made for age in range(phase.length))


def soft_margin(sharpness: float, toward: Tensor | None) -> Loss:
    """The margin with its maximum over the other classes smoothed: (1/T) log sum_k exp(T z_k) for max_k z_k.

    For a target sign and roles are exchanged. T = sharpness / the root mean square of the logits about their mean, so that
    neither scale nor shift of the logits changes the direction.

    Args:
        sharpness: Without unit.
        toward: Classes `(batch,)`: the loss is z_toward - z_y instead.
    """

    def loss(logits: Tensor, goal: ResolvedGoal) -> Tensor:
        if toward is not None:
            return logit_of(logits, toward) - defended(logits, goal)
        with torch.no_grad():
            of_classes = logits[:, :-1] if goal.rejects else logits
            warmth = of_classes.std(1, correction=0, keepdim=True).clamp_min_(TINY).div_(sharpness)  # 1 / T
        others = torch.logsumexp(rivals(logits, goal) / warmth, 1) * warmth.squeeze(1)
        return others - defended(logits, goal) if goal.heading is None else logit_of(logits, goal.heading) - others

    loss.__name__ = "soft_margin"
    return loss


def level(logits: Tensor, goal: ResolvedGoal, toward: Tensor | None) -> Tensor:
    """The margin over the boundary that is approached, zero on it and positive beyond it, `(batch,)`."""
    return margin(logits, goal) if toward is None else logit_of(logits, toward) - defended(logits, goal)


def ranked(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """The classes by falling logit, those that are no success last, `(batch, classes)`."""
    return rivals(logits, goal).argsort(1, descending=True)


def filling(g: Tensor, x: Tensor, gain: Tensor) -> Tensor:
    """The direction in which a step inside [0,1] gains <g, step> = gain at nearly the least L1 norm.

    The components of largest |g|, in proportion to the room they have before 0 or 1 (STRIDE at most), until they make up
    SPARE times the gain.

    Args:
        g, x: Gradients and images, `(batch, ...)`.
        gain: `(batch,)`.

    Returns:
        Directions of unit L1 norm, `(batch, ...)`.
    """
    slope = flat(g).abs()
    room = torch.where(flat(g) > 0, 1 - flat(x), flat(x)).clamp_max(STRIDE)
    order = slope.argsort(1, descending=True)
    gained = (slope * room).gather(1, order).cumsum(1)
    kept = torch.cat([torch.ones_like(gained[:, :1]), gained[:, :-1] < SPARE * gain[:, None]], 1) > 0
    step = room * torch.zeros_like(room).scatter(1, order, kept.to(room.dtype)) * flat(g).sign()
    return (step / step.abs().sum(1, keepdim=True).clamp_min(TINY)).view_as(g)


def least(f: Callable[[Tensor], Tensor], a: Tensor, tries: int, grain: Tensor) -> Tensor:
    """Nearly the least a with f(a) >= 0, for f that does not fall and rises by about one per unit.

    By steps of -f that double while f stays negative, and by halving once a is bracketed.

    Args:
        f: From `(batch,)` to `(batch,)`.
        a: First try, `(batch,)`.
        tries: Calls of f.
        grain: Below it f may not change, `(batch,)`; the first try is no smaller.

    Returns:
        `(batch,)`; where no try has f(a) >= 0, the last one and a step, and without tries `a`.
    """
    a = torch.maximum(a, grain) if tries else a
    low, high = torch.full_like(a, -FAR), torch.full_like(a, FAR)
    for k in range(tries):
        value = f(a)
        short = value < 0
        low, high = torch.where(short, a, low), torch.where(short, high, a)
        step = a - F.leaky_relu(value, 2**k)
        inside = k in (0, tries - 1)  # the bracket has one end, or its upper end is the answer
        a = step if inside else torch.where(step.clamp(low, high) == step, step, torch.lerp(low, high, 0.5))
    return torch.where(high < FAR, high, a)
