"""Projected gradient ascent. Madry et al., Towards deep learning models resistant to adversarial attacks, 2018
(arXiv:1706.06083), section 2.1; without the random start and for L-infinity it is the basic iterative method of Kurakin
et al. (arXiv:1607.02533), for L2 it is PGD2 of the thesis, (2.15)-(2.16)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ascent import Ascent
from vauban.attacks.parts.ball_steps import ascend
from vauban.core.losses import Loss, auto
from vauban.core.norms import Ball, Linf
from vauban.engine import Oracle, Point


def random_start(oracle: Oracle) -> Tensor:
    """A point of the ball: uniform for L-infinity, a Gaussian direction with a uniform radius for L1 and L2."""
    ball = oracle.domain.ball
    assert ball is not None
    shape = tuple(oracle.domain.x0.shape[1:])
    if ball.norm is Linf:
        d = (2 * oracle.rng.uniform("start", shape, dtype=oracle.domain.x0.dtype) - 1) * ball.scale(oracle.domain.x0)
    else:
        d = oracle.rng.normal("start", shape, dtype=oracle.domain.x0.dtype)
        length = oracle.rng.uniform("radius", (1,) * len(shape), dtype=oracle.domain.x0.dtype) * ball.scale(
            oracle.domain.x0
        )
        d = ball.norm.steepest(d) * length
    return oracle.domain.project(oracle.domain.x0 + d)


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

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
        return Point(random_start(oracle) if self.random_start else oracle.domain.x0)

    def move(self, oracle: Oracle, state: Point, t: int, logits: Tensor, g: Tensor) -> Point:
        return Point(ascend(oracle, state.x, g, 2.5 / self.steps if self.step_size is None else self.step_size))
