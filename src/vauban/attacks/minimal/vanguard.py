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
HALF, FIRST = 0.5, 0.28  # of the steps of a short and of a long run: when stalls are looked for
RESUME = 0.85  # of the steps: when all march again
STALLED = 0.05  # of the distance: a settled march is no farther from its boundary, nor came so much nearer lately
NARROW = 0.05  # of the pixel range, in every pixel: the least radius at which an image without a success is annealed

Annealed = Literal["auto", "all", "none"]
"""Which images leave Sapper's march."""


@dataclass(frozen=True)
class VanguardState(SapperState):
    """State of Vanguard, beside that of Sapper.

    Attributes:
        eps: Radius of the annealed march, `(batch,)`.
        annealing: Whether the image is on that march, `(batch,)`.
        halfway: Distance of the nearest success after half of the march that an image may leave, `(batch,)`.
        stalled: Whether that march has not settled, `(batch,)`.
    """

    eps: Tensor
    annealing: Tensor
    halfway: Tensor
    stalled: Tensor


@registry.register("vanguard", norms=("l2", "linf", "l1"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class Vanguard(Steps[VanguardState]):
    """Vanguard: Sapper's march, an annealed march for the images that need one, and Sapper's refinement of the nearer.

    The march is `sapper`'s. With fewer than 60 steps an image leaves it that has no success after half of them. From 60
    steps on one leaves it that has not settled after 28 %, before Sapper's scouts: the second half of these steps has
    brought the nearest success more than 5 % nearer, or the linearised boundary is still far from the last point y, |m| /
    ||g||_q > 0.05 ||y - x0||_p with m the margin, g the gradient and q the dual of p. Until 85 % these images are moved by

        eps <- (1 - gamma_t) eps where x is adversarial, (1 + gamma_t) eps elsewhere
        x <- x0 + P(x - x0 + alpha_t g / ||g||_2)

    in L2 with P the projection on the sphere of radius eps and g the gradient of the cross-entropy, or of the margin where
    that is saturated (`ddn`); in L-infinity and L1 with the ball, the margin, g zero where a pixel would leave [0,1], the
    first-order distance as radius until this march succeeds and the nearest success as its bound (`fmn`). gamma and
    alpha fall by a cosine. It begins at the original image, with the distance of the nearest success or of the iterate
    as radius. At its end Sapper goes on from the nearest success of both. One gradient a step; each image decides by
    what it has seen itself.

    No paper has this attack. Sapper is nearer on most networks, but on some it crosses the boundary far away and stays
    there; what each part costs and gains is in docs/attacks.md.

    Attributes:
        steps: Number of steps, one gradient each.
        norm: The norm of the distances: L2, L-infinity or L1.
        gamma: First share by which a step of the annealed march changes the radius.
        gamma_last: Its last share.
        alpha: First length of such a step, in pixel units (pixels in [0,1]) of L2.
        alpha_last: Its last length.
        annealed: Which images leave Sapper's march: those that stall, as above (`auto`), `all`, or `none`, which is Sapper.
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
        s, zero, no = self.sapper.start(oracle), torch.zeros_like(oracle.distance), oracle.distance < 0
        return VanguardState(
            s.x, s.crossed, s.over, s.toward, s.order, eps=zero, annealing=no, halfway=zero, stalled=no
        )

    def step(self, oracle: Oracle, state: VanguardState, t: int) -> VanguardState:
        leave, resume = self.window
        state = self._entering(oracle, state, t)
        y = oracle.domain.quantise(state.x)
        march = self.sapper.raised(oracle, state, t)
        if self.annealed == "none" or not leave <= t < resume:
            logits, (g,) = oracle.gradient(y, march)
            watched = self._watched(oracle, state, t, y, logits, g)
            return self.sapper.march(oracle, watched, t, y, logits, g)
        annealing, rise = state.annealing, auto if self.norm is L2 else margin

        def raised(logits: Tensor, goal: ResolvedGoal) -> Tensor:
            return torch.where(annealing, rise(logits, goal), march(logits, goal))

        logits, (g,) = oracle.gradient(y, raised)
        marched = self.sapper.march(oracle, state, t, y, logits, g)
        x, eps = self._moved(oracle, state, t - leave, resume - leave, logits, g)
        return replace(marched, x=where(annealing, x, marched.x), eps=eps)

    @property
    def window(self) -> tuple[int, int]:
        """The steps before which images leave Sapper's march, and go back to it."""
        leave = HALF if self.steps < SCOUTED else FIRST
        return max(1, round(leave * self.steps)), round(RESUME * self.steps)

    def _watched(
        self, oracle: Oracle, state: VanguardState, t: int, y: Tensor, logits: Tensor, g: Tensor
    ) -> VanguardState:
        """The state with what step t, at y, says of whether the march has settled."""
        leave, _ = self.window
        if t == leave // 2 - 1:
            return replace(state, halfway=oracle.distance)
        if t != leave - 1:
            return state
        if self.steps < SCOUTED:
            return replace(state, stalled=~oracle.succeeded)
        away = margin(logits, oracle.goal).abs() / self.norm.dual(g).clamp_min(TINY)
        far = away > STALLED * self.norm.size(y - oracle.domain.x0)
        falls = state.halfway > (1 + STALLED) * oracle.distance
        return replace(state, stalled=far | falls | ~oracle.succeeded)

    def _entering(self, oracle: Oracle, state: VanguardState, t: int) -> VanguardState:
        """The state before step t: of images that leave Sapper's march, or go back to it."""
        leave, resume = self.window
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
            return replace(
                entered,
                x=where(annealing, state.x, entered.x),
                crossed=torch.where(annealing, state.crossed, entered.crossed),
            )
        left = torch.ones_like(annealing) if self.annealed == "all" else state.stalled
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
