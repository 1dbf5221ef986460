"""The basic iterative method, I-FGSM. Kurakin, Goodfellow, Bengio, Adversarial examples in the physical world, 2017
(arXiv:1607.02533), section 2.2."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ascent import Ascent
from vauban.attacks.parts.ball_steps import ascend
from vauban.core.losses import Loss, auto
from vauban.core.norms import Ball, Linf
from vauban.engine import Oracle, Point


def relative_step(step_size: float | None, steps: int) -> float:
    """The share of the radius of one step; by default 1.25 / steps: the paper takes min(eps + 4, 1.25 eps) steps of one
    pixel level, 10 for eps = 8/255."""
    return 1.25 / steps if step_size is None else step_size


@registry.register("bim", norms=("linf", "l2", "l1"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class BIM(Ascent[Point]):
    """FGSM in small steps from the image: x_{t+1} = P(x_t + alpha eps s(g_t)), x_0 the image.

    g_t is the image gradient of the loss, s the steepest direction of unit norm, P the projection on the ball and [0,1].
    step_size is alpha, relative to eps; None is 1.25 / steps.
    """

    ball: Ball = Linf(8 / 255)
    steps: int = 10
    step_size: float | None = None
    loss: Loss = auto

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
        return Point(oracle.domain.x0)

    def move(self, oracle: Oracle, state: Point, t: int, logits: Tensor, g: Tensor) -> Point:
        return Point(ascend(oracle, state.x, g, relative_step(self.step_size, self.steps)))
