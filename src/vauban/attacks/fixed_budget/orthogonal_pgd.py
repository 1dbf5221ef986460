"""Orthogonal projected gradient descent against detectors (Bryniarski et al. 2021).

Bryniarski, Hingun, Pachuca, Wang, Carlini, Evading adversarial example detection defenses with orthogonal projected
gradient descent, 2021 (arXiv:2106.15023), section 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.fixed_budget.pgd import random_start
from vauban.attacks.parts.ball_steps import advance
from vauban.attacks.parts.stepsize import StepSize, stepped
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import margin
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Count, Positive
from vauban.engine import Oracle, Point, Steps

PARALLEL = 1e-3  # share of a gradient's length below which what the projection leaves is rounding


def class_margin(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """The margin among the classes, whatever is rejected."""
    return margin(logits[:, :-1], replace(goal, rejects=False)) if goal.rejects else margin(logits, goal)


def acceptance(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """max_k z_k - z_rejected over the classes k: positive where the image is accepted."""
    return logits[:, :-1].amax(1) - logits[:, -1]


def orthogonal(gradient: Tensor, other: Tensor) -> Tensor:
    """A gradient without its part along another one, `(batch, ...)`; whole where they are parallel."""
    g, h = gradient.flatten(1), other.flatten(1)
    unit = h / h.norm(dim=1, keepdim=True).clamp_min(torch.finfo(h.dtype).tiny)
    left = g - (g * unit).sum(1, keepdim=True) * unit
    kept = left.norm(dim=1, keepdim=True) > PARALLEL * g.norm(dim=1, keepdim=True)
    return torch.where(kept, left, g).view_as(gradient)


@registry.register("orthogonal-pgd", norms=("linf", "l2", "l1"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class OrthogonalPGD(StepSize, Steps[Point]):
    """PGD on classifier and detector in turn, each along its gradient without the part that moves the other.

    With m the margin among the classes and a = max_k z_k - z_rejected over the classes k: the step is P(x + alpha eps
    s(grad m - its part along grad a)) where the class is not yet what the goal wants, else P(x + alpha eps s(grad a - its
    part along grad m)). A joint loss follows the larger of its parts; this one goes to the classifier's boundary without
    being seen, and to the detector's without losing the class. On a network that rejects nothing it is PGD on the margin.

    Attributes:
        ball: The budget: L-infinity, L2 or L1, radius in pixel units (pixels in [0,1]).
        steps: Number of steps, two gradients each.
        rel_stepsize: alpha, the length of a step as a share of the radius eps; None: 2.5 / steps.
        abs_stepsize: The length of a step in pixel units, in the place of rel_stepsize.
        random_start: Whether to begin at a random point of the ball instead of the image.

    Departures: gradients that are parallel to within rounding are taken whole, where their projection would be noise; the
    losses are margins, the paper's those of each detector.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 40
    rel_stepsize: Positive | None = None
    abs_stepsize: Positive | None = None
    random_start: bool = True

    @property
    def usual_stepsize(self) -> float:
        return 2.5 / self.steps

    @property
    def passes(self) -> tuple[int, int]:
        return self.steps + 1, 2 * self.steps

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
        return Point(random_start(oracle) if self.random_start else oracle.domain.x0)

    def step(self, oracle: Oracle, state: Point, t: int) -> Point:
        if oracle.goal.rejects:
            logits, (toward_class, toward_acceptance) = oracle.gradient(state.x, class_margin, acceptance)
            reached = class_margin(logits, oracle.goal) > 0
            shape = (-1,) + (1,) * (state.x.dim() - 1)
            g = torch.where(
                reached.view(shape),
                orthogonal(toward_acceptance, toward_class),
                orthogonal(toward_class, toward_acceptance),
            )
        else:
            _, (g,) = oracle.gradient(state.x, class_margin)
        return Point(advance(oracle, state.x, g, stepped(self, oracle, state.x)))
