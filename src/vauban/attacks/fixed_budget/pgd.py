"""Projected gradient ascent, PGD (Madry et al. 2018).

Madry et al., Towards deep learning models resistant to adversarial attacks, 2018 (arXiv:1706.06083), section 2.1;
without the random start and for L-infinity it is the basic iterative method of Kurakin et al. (arXiv:1607.02533), for
L2 it is PGD2 of the thesis, (2.15)-(2.16).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ascent import Ascent
from vauban.attacks.parts.ball_steps import advance
from vauban.attacks.parts.stepsize import StepSize, stepped
from vauban.core.losses import Loss, auto
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Count, Positive
from vauban.engine import Oracle, Point


def random_start(oracle: Oracle) -> Tensor:
    """Random point of the ball: uniform for L-infinity, a Gaussian direction with a uniform radius for L1 and L2.

    Args:
        oracle: Rows inside a ball.

    Returns:
        Images `(batch, ...)` in the ball and in [0,1].
    """
    x0, ball, rng = oracle.domain.x0, oracle.domain.ball, oracle.rng
    assert ball is not None
    shape = tuple(x0.shape[1:])
    if ball.norm is Linf:
        d = (2 * rng.uniform("start", shape, dtype=x0.dtype) - 1) * ball.scale(x0)
    else:
        direction = rng.normal("start", shape, dtype=x0.dtype)
        length = rng.uniform("radius", (1,) * len(shape), dtype=x0.dtype) * ball.scale(x0)
        d = ball.norm.steepest(direction) * length
    return oracle.domain.project(x0 + d)


@registry.register("pgd", norms=("linf", "l2", "l1"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class PGD(Ascent[Point], StepSize):
    """Projected gradient ascent on the loss inside a ball.

    x_{t+1} = P(x_t + alpha eps s(g_t)), g_t the image gradient of the loss, s the steepest direction of unit norm, P
    the projection on the ball and [0,1].

    Attributes:
        ball: The budget: L-infinity, L2 or L1, radius in pixel units (pixels in [0,1]).
        steps: Number of steps, one gradient each.
        rel_stepsize: alpha, the length of a step as a share of the radius eps; None: 2.5 / steps.
        abs_stepsize: The length of a step in pixel units, in the place of rel_stepsize.
        loss: What is raised, one value per sample; larger is better for the attacker.
        random_start: Whether to begin at a random point of the ball instead of the image.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 40
    rel_stepsize: Positive | None = None
    abs_stepsize: Positive | None = None
    loss: Loss = auto
    random_start: bool = True

    @property
    def usual_stepsize(self) -> float:
        return 2.5 / self.steps

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
        return Point(random_start(oracle) if self.random_start else oracle.domain.x0)

    def move(self, oracle: Oracle, state: Point, t: int, logits: Tensor, g: Tensor) -> Point:
        return Point(advance(oracle, state.x, g, stepped(self, oracle, state.x)))
