"""Fast gradient sign method (Goodfellow et al. 2015).

Goodfellow, Shlens, Szegedy, Explaining and harnessing adversarial examples, 2015 (arXiv:1412.6572), section 4; for L2
the FGSM-L2 of Zantedeschi et al., Efficient defenses against adversarial attacks, 2017 (arXiv:1707.06728).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ascent import Ascent
from vauban.attacks.parts.ball_steps import ascend
from vauban.core.losses import Loss, auto
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Count
from vauban.engine import Oracle, Point
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep


@registry.register("fgsm", norms=("linf", "l2", "l1"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class FGSM(Ascent[Point]):
    """One step of the whole radius from the image along the gradient of the loss.

    x' = clip(x + eps s(g)), g the image gradient of the loss; s(g) = sign(g) for L-infinity, g / ||g||_2 for L2, equal
    steps on the largest components for L1. The crafted image is always the end of the step; a clean image that already
    reaches the goal is recorded as a success.

    Attributes:
        ball: The budget: L-infinity, L2 or L1, radius in pixel units (pixels in [0,1]).
        loss: What is raised, one value per sample; larger is better for the attacker.
        steps: Always 1.
    """

    ball: Ball = Linf(8 / 255)
    loss: Loss = auto
    steps: Count = field(default=1, init=False)
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "last"

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
        return Point(oracle.domain.x0)

    def move(self, oracle: Oracle, state: Point, t: int, logits: Tensor, g: Tensor) -> Point:
        return Point(ascend(oracle, state.x, g, 1.0))
