"""Projected gradient ascent. Madry et al., Towards deep learning models resistant to adversarial attacks, 2018
(arXiv:1706.06083), section 2.1; without the random start and for L-infinity it is the basic iterative method of Kurakin
et al. (arXiv:1607.02533), for L2 it is PGD2 of the thesis, (2.15)-(2.16)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.ascent import Ascent
from vauban.attacks.fixed_budget.moves import ascend
from vauban.core.losses import Loss, auto
from vauban.core.norms import Ball, Linf
from vauban.engine import Ask, Point


def random_start(ask: Ask) -> Tensor:
    """A point of the ball: uniform for L-infinity, a Gaussian direction with a uniform radius for L1 and L2."""
    ball = ask.ball
    assert ball is not None
    shape = tuple(ask.x0.shape[1:])
    if ball.norm is Linf:
        d = (2 * ask.rng.uniform("start", shape, dtype=ask.x0.dtype) - 1) * ball.scale(ask.x0)
    else:
        d = ask.rng.normal("start", shape, dtype=ask.x0.dtype)
        length = ask.rng.uniform("radius", (1,) * len(shape), dtype=ask.x0.dtype) * ball.scale(ask.x0)
        d = ball.norm.steepest(d) * length
    return ask.project(ask.x0 + d)


@registry.register("pgd", norms=("linf", "l2", "l1"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class PGD(Ascent[Point]):
    """Projected gradient ascent on the loss inside a ball.

    x_{t+1} = P(x_t + alpha eps s(g_t)), g_t the image gradient of the loss, s the steepest direction of unit norm, P the
    projection on the ball and [0,1]. step_size is alpha, relative to eps; None is 2.5 / steps.
    """

    ball: Ball = Linf(8 / 255)
    steps: int = 40
    step_size: float | None = None
    loss: Loss = auto
    random_start: bool = True

    def start(self, ask: Ask, **knobs: Tensor) -> Point:
        return Point(random_start(ask) if self.random_start else ask.x0)

    def move(self, ask: Ask, state: Point, t: int, logits: Tensor, g: Tensor) -> Point:
        return Point(ascend(ask, state.x, g, 2.5 / self.steps if self.step_size is None else self.step_size))
