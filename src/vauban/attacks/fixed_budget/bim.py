"""Basic iterative method, I-FGSM (Kurakin et al. 2017).

Kurakin, Goodfellow, Bengio, Adversarial examples in the physical world, 2017 (arXiv:1607.02533), section 2.2.
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


@registry.register("bim", norms=("linf", "l2", "l1"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class BIM(Ascent[Point], StepSize):
    """FGSM in small steps from the image.

    x_{t+1} = P(x_t + alpha eps s(g_t)), x_0 the image, g_t the image gradient of the loss, s the steepest direction of
    unit norm, P the projection on the ball and [0,1]. The paper takes min(eps + 4, 1.25 eps) steps of one pixel level, 10
    for eps = 8/255: hence 1.25 / steps.

    Attributes:
        ball: The budget: L-infinity, L2 or L1, radius in pixel units (pixels in [0,1]).
        steps: Number of steps, one gradient each.
        rel_stepsize: alpha, the length of a step as a share of the radius eps; None: 1.25 / steps.
        abs_stepsize: The length of a step in pixel units, in the place of rel_stepsize.
        loss: What is raised, one value per sample; larger is better for the attacker.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 10
    rel_stepsize: Positive | None = None
    abs_stepsize: Positive | None = None
    loss: Loss = auto

    @property
    def usual_stepsize(self) -> float:
        return 1.25 / self.steps

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
        return Point(oracle.domain.x0)

    def move(self, oracle: Oracle, state: Point, t: int, logits: Tensor, g: Tensor) -> Point:
        return Point(advance(oracle, state.x, g, stepped(self, oracle, state.x)))
