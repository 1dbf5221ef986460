"""Basic iterative method, I-FGSM (Kurakin et al. 2017).

Kurakin, Goodfellow, Bengio, Adversarial examples in the physical world, 2017 (arXiv:1607.02533), section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ascent import Ascent
from vauban.attacks.parts.ball_steps import ascend
from vauban.core.losses import Loss, auto
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Count, Positive
from vauban.engine import Oracle, Point


def relative_step(step_size: float | None, steps: int) -> float:
    """Share of the radius of one step, 1.25 / steps by default.

    The paper takes min(eps + 4, 1.25 eps) steps of one pixel level, 10 for eps = 8/255.
    """
    return 1.25 / steps if step_size is None else step_size


@registry.register("bim", norms=("linf", "l2", "l1"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class BIM(Ascent[Point]):
    """FGSM in small steps from the image.

    x_{t+1} = P(x_t + alpha eps s(g_t)), x_0 the image, g_t the image gradient of the loss, s the steepest direction of
    unit norm, P the projection on the ball and [0,1].

    Attributes:
        ball: The budget: L-infinity, L2 or L1, radius in pixel units (pixels in [0,1]).
        steps: Number of steps, one gradient each.
        step_size: alpha, the length of a step as a share of the radius eps; None: 1.25 / steps.
        loss: What is raised, one value per sample; larger is better for the attacker.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 10
    step_size: Positive | None = None
    loss: Loss = auto

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
        return Point(oracle.domain.x0)

    def move(self, oracle: Oracle, state: Point, t: int, logits: Tensor, g: Tensor) -> Point:
        return Point(ascend(oracle, state.x, g, relative_step(self.step_size, self.steps)))
