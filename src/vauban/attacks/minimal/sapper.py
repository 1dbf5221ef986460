"""Sapper, an attack of this project: the nearest point of the boundary by linearisation, counted on the pixel grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, TypeVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.sapper_schedule import Phase, filling, least, level, phases, ranked, soft_margin
from vauban.core.losses import Loss
from vauban.core.norms import L1, L2, Linf, Norm
from vauban.core.parameters import Count, Positive, Range, Share, Whole
from vauban.core.tensors import components, dot, like, where
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

TINY = 1e-20
LEAST, MOST = 1e-4, 1.0  # the share of the distance by which a step may aim beyond the boundary


@dataclass(frozen=True)
class SapperState:
    """State of Sapper.

    Attributes:
        x: The iterate before rounding, `(batch, ...)`.
        crossed: Whether the boundary has been crossed, `(batch,)`.
        over: Share by which steps aim beyond the boundary, `(batch,)`.
        toward: The class that is headed for in the later marches, `(batch,)`.
        order: The other classes, nearest first as last seen, `(batch, classes)`.
    """

    x: Tensor
    crossed: Tensor
    over: Tensor
    toward: Tensor
    order: Tensor


S = TypeVar("S", bound=SapperState)


def _share(phase: Phase, age: int) -> float:
    """How much of a march is over, from 0 to 1."""
    return age / max(1, phase.length - 1)


@registry.register("sapper", norms=("l2", "linf", "l1"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class Sapper(Steps[SapperState]):
    """Sapper: step to where the linearised margin is just beyond zero, and let the rest of the perturbation decay.

    With m the margin at the rounded iterate y = Q(x), g its gradient, s = argmax <g, s> subject to ||s||_p = 1:

        x <- x0 + (1 - lambda) (x - x0) + a s,   a the least with <g, Q(x) - y> >= -m + over ||y - x0|| <g, s>

    lambda = 0 until the first success. Unrounded, in L2 and with lambda = 1 this is x0 + (<g, y - x0> - m) g / ||g||^2,
    the foot of the perpendicular on the linearised boundary: the iteration by which structural reliability searches the
    most probable point of failure (Hasofer and Lind 1974, Rackwitz and Fiessler 1978), which DeepFool starts and never
    corrects. Since `a` is measured after rounding and clipping, a step is never lost to them: where a perturbation is
    below half a level per pixel, the components of largest gradient change first, which is the best there is on the
    grid. `over` is multiplied by `up` after a step that failed (the original image counts as one), by `down` after one
    that succeeded; before the first success it is a share of the larger of ||y - x0|| and the distance still to go.

    Direction: the margin with its maximum smoothed at a temperature relative to the spread of the logits, so that
    neither their scale nor a shift matters; `sharpness` rises from the first to the second value, which settles the
    class on the way instead of at the original image. From 60 steps on, `scouts` shorter marches head for the classes
    that were next at the last success, and the last 30 % of the steps start again from the nearest success (`phases`).
    One gradient a step.

    For L1 the maximiser moves one pixel without end: s is that of the same problem inside [0,1], the components of
    largest gradient in proportion to the room they have (`filling`). A gradient of zero adds nothing. No paper has this
    attack; what each of its parts is worth is in the experiments.

    Attributes:
        steps: Number of steps, one gradient each.
        norm: The norm of the distances: L2, L-infinity or L1.
        decay: lambda, the share of the perturbation that a step takes back after the first success, at the beginning
            and the end of a march.
        refine: lambda in the last phase, at its beginning and end.
        sharpness: Inverse temperature of the smoothed margin, at the beginning and the end of a march.
        first: `over` until the first success, a share of the distance.
        over: `over` after it.
        up: Factor of `over` after a step that failed.
        down: Factor of `over` after a step that succeeded.
        reach: Largest first-order step, in pixel units (pixels in [0,1]) of the norm; L1 has none, since there a pixel
            moves by half the range at most.
        scouts: Number of marches toward other classes, from 60 steps on.
        tries: Evaluations of the search for a; 0 aims at the unrounded boundary.
    """

    steps: Count = 20
    norm: Norm = L2
    decay: tuple[Share, Share] = (0.6, 0.2)
    refine: tuple[Share, Share] = (0.4, 0.02)
    sharpness: tuple[Positive, Positive] = (4.0, 100.0)
    first: Share = 0.1
    over: Share = 0.1
    up: Annotated[float, Range(1)] = 2.5
    down: Annotated[float, Range(0, 1, open_low=True)] = 0.55
    reach: Positive = 1.0
    scouts: Whole = 3
    tries: Whole = 4
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"

    def start(self, oracle: Oracle, **per_sample: Tensor) -> SapperState:
        x0, y, over = oracle.domain.x0, oracle.goal.y, torch.full_like(oracle.distance, self.first)
        return SapperState(x0, over < 0, over, y, y[:, None].expand(-1, oracle.classes))

    def step(self, oracle: Oracle, state: SapperState, t: int) -> SapperState:
        state = self.entering(oracle, state, t)
        y = oracle.domain.quantise(state.x)
        logits, (g,) = oracle.gradient(y, self.raised(oracle, state, t))
        return self.march(oracle, state, t, y, logits, g)

    def marches(self, oracle: Oracle) -> tuple[tuple[Phase, int], ...]:
        """The march of each step, and how many steps of it came before; toward a target there are no scouts."""
        return phases(self.steps, self.scouts if oracle.goal.target is None else 0)

    def entering(self, oracle: Oracle, state: S, t: int) -> S:
        """The state before step t: at the first step of a later phase that from which the phase starts."""
        phase, age = self.marches(oracle)[t]
        return self._again(oracle, state, phase) if age == 0 and phase.number > 0 else state

    def raised(self, oracle: Oracle, state: SapperState, t: int) -> Loss:
        """The smoothed margin of step t."""
        phase, age = self.marches(oracle)[t]
        low, high = self.sharpness
        sharp = high if phase.refines else low * (high / low) ** _share(phase, age)
        return soft_margin(sharp, state.toward if phase.scouts else None)

    def march(self, oracle: Oracle, state: S, t: int, y: Tensor, logits: Tensor, g: Tensor) -> S:
        """Next state, from the gradient g `(batch, ...)` of `raised` and the logits at y, the iterate rounded."""
        marches = self.marches(oracle)
        phase, age = marches[t]
        adversarial = oracle.won(logits)
        crossed = state.crossed | adversarial
        order = state.order
        if phase.number == 0 and marches[-1][0].number > 1:  # scouts will ask for it
            seen = like(adversarial, logits) if t else torch.ones_like(logits[:, :1], dtype=torch.bool)
            order = torch.where(seen, ranked(logits, oracle.goal), order)
        over = state.over * torch.where(state.crossed & adversarial, self.down, self.up)
        over = torch.where(adversarial > state.crossed, self.over, over).clamp(LEAST, MOST)
        first, last = self.refine if phase.refines else self.decay
        decay = crossed * (first + (last - first) * _share(phase, age))
        # Logits that are NaN come with a gradient of zero: no step, rather than an iterate of NaN.
        toward = state.toward if phase.scouts else None
        gap = level(logits, oracle.goal, toward).nan_to_num(0.0, torch.inf, -torch.inf)
        x = self._move(oracle, state.x, y, g, gap, crossed, over, decay)
        return replace(state, x=x, crossed=crossed, over=over, order=order)

    def nearest(self, oracle: Oracle, state: S) -> S:
        """The state from which a march starts again at the nearest success, or goes on where there is none."""
        over = torch.full_like(state.over, self.over / 2)
        return replace(state, x=where(oracle.succeeded, oracle.best, state.x), crossed=oracle.succeeded, over=over)

    def _again(self, oracle: Oracle, state: S, phase: Phase) -> S:
        """First state of a later phase: from the nearest success, or from the original toward another class."""
        if phase.refines:
            return self.nearest(oracle, state)
        others = oracle.classes - 1 - oracle.goal.rejects
        return replace(
            state,
            x=oracle.domain.x0,
            crossed=torch.zeros_like(state.crossed),
            over=torch.full_like(state.over, self.first),
            toward=state.order[:, min(phase.number, others - 1)],
        )

    def _move(
        self,
        oracle: Oracle,
        x: Tensor,
        y: Tensor,
        g: Tensor,
        level: Tensor,
        crossed: Tensor,
        over: Tensor,
        decay: Tensor,
    ) -> Tensor:
        """Next iterate before rounding, `(batch, ...)`.

        Args:
            oracle: The rows.
            x: The iterate before rounding, `(batch, ...)`.
            y: The image that the network was shown for it.
            g: Gradient of the smoothed margin at y.
            level: The margin at y, zero on the boundary, `(batch,)`.
            crossed: Whether the boundary has been crossed, `(batch,)`.
            over: Share by which the step aims beyond the boundary, `(batch,)`.
            decay: lambda, `(batch,)`.
        """
        slope = self.norm.dual(g).clamp_min(TINY)
        size = self.norm.size(y - oracle.domain.x0)
        reach = x[0].numel() if self.norm is L1 else self.reach
        gap = (-level / slope).clamp(-reach, reach)
        wanted = torch.addcmul(gap, over, torch.where(crossed, size, torch.maximum(size, gap)))
        base = torch.lerp(x, oracle.domain.x0, like(decay, x).to(x.dtype))
        s = self.norm.steepest(g)
        unit = s if self.norm is L2 else g / like(slope, g)
        crossing = dot(unit, y) + wanted
        if self.norm is L1:
            s = filling(g, base, crossing * slope - dot(g, base))

        n = 1.0 if oracle.domain.grid is None else float(oracle.domain.grid.levels - 1)
        whole, stride = base * n, s * n  # in levels: the grid's rounding, with few operations a try
        gain, minus = stride if unit is s else unit * n, like(-crossing, s)

        def beyond(a: Tensor) -> Tensor:
            """How much farther than wanted the rounded image is, to first order, in the norm."""
            v = torch.addcmul(whole, a, stride)
            v = (v if oracle.domain.grid is None else v.round_()).clamp_(0, n)
            return torch.add(minus, v.mul_(gain).sum(components(v), keepdim=True), alpha=1 / n**2)

        half = 0.0 if oracle.domain.grid is None else 0.5 / n
        grain = half / Linf.size(s).clamp_min(half or 1.0)  # less than this moves no pixel that is on the grid
        a = least(beyond, like(crossing - dot(unit, base), s), self.tries, like(grain, s))
        return torch.addcmul(base, a, s).clamp_(0, 1)
