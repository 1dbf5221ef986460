"""FGSM after a random step, R+FGSM (Tramèr et al. 2018).

Tramèr et al., Ensemble adversarial training, 2018 (arXiv:1705.07204), as used by Zantedeschi et al., Efficient defenses
against adversarial attacks, 2017 (arXiv:1707.06728).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ball_steps import ascend
from vauban.core.losses import Loss, auto
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Count, Share
from vauban.engine import Oracle, Point, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep


@registry.register("r-fgsm", norms=("linf", "l2"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class RFGSM(Steps[Point]):
    """A random step out of the reach of a masked gradient, then the rest of the radius along the gradient there.

    x_r = clip(x + alpha eps s(N(0, I))), x' = clip(x_r + (1 - alpha) eps s(g(x_r))), s the sign for L-infinity and the
    unit vector for L2 (the paper has L-infinity only), g the image gradient of the loss.

    Attributes:
        ball: The budget: L-infinity or L2, radius in pixel units (pixels in [0,1]).
        alpha: Share of the radius eps that the random step takes; the papers' absolute step of 0.05 is alpha = 0.05 /
            eps.
        loss: What is raised, one value per sample; larger is better for the attacker.
        steps: Always 1.
    """

    ball: Ball = Linf(8 / 255)
    alpha: Share = 0.5
    loss: Loss = auto
    steps: Count = field(default=1, init=False)
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "last"

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
        x0, mask = oracle.domain.x0, oracle.domain.mask
        noise = oracle.rng.normal("start", tuple(x0.shape[1:]), dtype=x0.dtype)
        return Point(ascend(oracle, x0, noise if mask is None else noise * mask, self.alpha))

    def step(self, oracle: Oracle, state: Point, t: int) -> Point:
        _, (g,) = oracle.gradient(state.x, self.loss)
        return Point(ascend(oracle, state.x, g, 1 - self.alpha))
