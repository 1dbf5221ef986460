"""Vanguard, an attack of this project: the nearest image by Sapper's march, and by an annealed one where that stalls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.minimal.sapper import Sapper, SapperState
from vauban.attacks.parts.minimal_steps import Rate, cosine, movable
from vauban.attacks.parts.sapper_schedule import SCOUTED
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import auto, margin
from vauban.core.norms import L2, Norm
from vauban.core.parameters import Count, NonNegative
from vauban.core.tensors import like, unit, where
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

TINY = 1e-30
HALF, RESUME = 0.5, 0.85  # of the steps of a short run: when stalls are looked for, when all march again
FIRST = 0.28  # of the steps of a long run: Sapper's first march
NARROW = 0.05  # of the pixel range, in every pixel: the least radius at which an image without a success is annealed

Annealed = Literal["auto", "all", "none"]
"""Which images leave Sapper's march."""


@dataclass(frozen=True)
class VanguardState(SapperState):
    """State of Vanguard, beside that of Sapper.

    Attributes:
        eps: Radius of the annealed march, `(batch,)`.
        annealing: Whether the image is on that march, `(batch,)`.
    """

    eps: Tensor
    annealing: Tensor


@registry.register("vanguard", norms=("l2", "linf", "l1"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class Vanguard(Steps[VanguardState]):
    """Vanguard: Sapper's march, an annealed march for the images that need one, and Sapper's refinement of the nearer.

    The march is `sapper`'s. With fewer than 60 steps an image leaves it that has no success after half of them, and is
    back after 85 %. From 60 steps on all leave it at 28 %, in the place of Sapper's scouts, until the refinement begins at
    70 %. Meanwhile they are moved by

        eps <- (1 - gamma_t) eps where x is adversarial, (1 + gamma_t) eps elsewhere
        x <- x0 + P(x - x0 + alpha_t g / ||g||_2)

    in L2 with P the projection on the sphere of radius eps and g the gradient of the cross-entropy, or of the margin where
    that is saturated (`ddn`); in L-infinity and L1 with the ball, the margin, g zero where a pixel would leave [0,1], the
    first-order distance as radius until this march succeeds and the nearest success as its bound (`fmn`). gamma and
    alpha fall by a cosine. It begins at the original image, with the distance of the nearest success or of the iterate
    as radius. At its end Sapper goes on from the nearest success of both. One gradient a step; each image decides by its
    own successes alone.

    No paper has this attack. Sapper is nearer on most networks, but on some it crosses the boundary far away and stays
    there; what each part costs and gains is in docs/attacks.md.

    Attributes:
        steps: Number of steps, one gradient each.
        norm: The norm of the distances: L2, L-infinity or L1.
        gamma: First share by which a step of the annealed march changes the radius.
        gamma_last: Its last share.
        alpha: First length of such a step, in pixel units (pixels in [0,1]) of L2.
        alpha_last: Its last length.
        annealed: Which images leave Sapper's march: as above (`auto`), `all` also in a short run, or `none`, which is
            Sapper.
    """

    steps: Count = 20
    norm: Norm = L2
    gamma: Rate = 0.3
    gamma_last: Rate = 0.01
    alpha: NonNegative = 1.0
    alpha_last: NonNegative = 0.01
    annealed: Annealed = "auto"
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"

    @property
    def sapper(self) -> Sapper:
        return Sapper(self.steps, self.norm)

    def start(self, oracle: Oracle, **per_sample: Tensor) -> VanguardState:
        s, zero = self.sapper.start(oracle), torch.zeros_like(oracle.distance)
        return VanguardState(s.x, s.crossed, s.over, s.toward, s.order, eps=zero, annealing=torch.zeros_like(s.crossed))

    def step(self, oracle: Oracle, state: VanguardState, t: int) -> VanguardState:
        leave, resume = self.window(oracle)
        state = self._entering(oracle, state, t)
        y = oracle.domain.quantise(state.x)
        march = self.sapper.raised(oracle, state, t)
        if self.annealed == "none" or not leave <= t < resume:
            logits, (g,) = oracle.gradient(y, march)
            return self.sapper.march(oracle, state, t, y, logits, g)
        annealing, rise = state.annealing, auto if self.norm is L2 else margin

        def raised(logits: Tensor, goal: ResolvedGoal) -> Tensor:
            return torch.where(annealing, rise(logits, goal), march(logits, goal))

        logits, (g,) = oracle.gradient(y, raised)
        marched = self.sapper.march(oracle, state, t, y, logits, g)
        x, eps = self._moved(oracle, state, t - leave, resume - leave, logits, g)
        return replace(marched, x=where(annealing, x, marched.x), eps=eps)

    def window(self, oracle: Oracle) -> tuple[int, int]:
        """The steps before which images leave Sapper's march, and go back to it."""
        refines = [t for t, (phase, _) in enumerate(self.sapper.marches(oracle)) if phase.refines]
        if refines:
            return round(FIRST * self.steps), refines[0]
        return max(1, round(HALF * self.steps)), round(RESUME * self.steps)

    def _entering(self, oracle: Oracle, state: VanguardState, t: int) -> VanguardState:
        """The state before step t: of images that leave Sapper's march, or go back to it."""
        leave, resume = self.window(oracle)
        annealing = state.annealing
        entered = self.sapper.entering(oracle, state, t)
        if t == resume:
            back = self.sapper.nearest(oracle, state)
            return replace(
                entered,
                x=where(annealing, back.x, entered.x),
                crossed=torch.where(annealing, back.crossed, entered.crossed),
                over=torch.where(annealing, back.over, entered.over),
                annealing=torch.zeros_like(annealing),
            )
        if t != leave or self.annealed == "none":
            return replace(entered, x=where(annealing, state.x, entered.x))
        every = self.annealed == "all" or self.steps >= SCOUTED
        left = torch.ones_like(state.crossed) if every else ~oracle.succeeded
        least = self.norm.size(torch.full_like(state.x, NARROW))
        far = torch.maximum(self.norm.size(state.x - oracle.domain.x0), least)
        return replace(
            entered,
            x=where(left, oracle.domain.x0, entered.x),
            crossed=entered.crossed & ~left,
            eps=torch.where(oracle.succeeded, oracle.distance, far),
            annealing=left,
        )

    def _moved(
        self, oracle: Oracle, state: VanguardState, t: int, length: int, logits: Tensor, g: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Next iterate and radius of the annealed march, of `length` steps, after t of them."""
        gamma = cosine(t, length, self.gamma, self.gamma_last)
        alpha = cosine(t, length, self.alpha, self.alpha_last)
        d, adversarial = state.x - oracle.domain.x0, oracle.won(logits)
        smaller, larger = state.eps * (1 - gamma), state.eps * (1 + gamma)
        if self.norm is L2:
            eps = torch.where(adversarial, smaller, larger)
            d = torch.add(d, unit(g), alpha=alpha)
            d = like(eps, d) * unit(d)
        else:
            g = movable(state.x, g)
            gap = margin(logits, oracle.goal).abs() / self.norm.dual(g).clamp_min(TINY)
            larger = torch.where(state.crossed, larger, (self.norm.size(d) + gap) * (1 + gamma))
            eps = torch.where(adversarial, torch.minimum(smaller, oracle.distance), larger)
            d = self.norm.project(torch.add(d, unit(g), alpha=alpha), eps)
        return oracle.domain.project(oracle.domain.x0 + d), eps
