"""FGSM after a random step, R+FGSM (Tramèr et al. 2018).

Tramèr et al., Ensemble adversarial training, 2018 (arXiv:1705.07204), as used by Zantedeschi et al., Efficient defenses
against adversarial attacks, 2017 (arXiv:1707.06728).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ball_steps import advance
from vauban.core.errors import ContractError
from vauban.core.losses import Loss, auto
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Count, NonNegative
from vauban.engine import Oracle, Point, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep


@registry.register("r-fgsm", norms=("linf", "l2"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class RFGSM(Steps[Point]):
    """A random step out of the reach of a masked gradient, then the rest of the radius along the gradient there.

    x_r = clip(x + alpha s(N(0, I))), x' = clip(x_r + (eps - alpha) s(g(x_r))), s the sign for L-infinity and the unit
    vector for L2 (the papers have L-infinity only), g the image gradient of the loss. Where eps < alpha nothing would be
    left of the radius, and alpha is eps / 2: Zantedeschi et al. go through eps from 0.01 at alpha = 0.05 without saying
    what happens there, and eps / 2 is the value of Tramèr et al.

    Attributes:
        ball: The budget: L-infinity or L2, radius in pixel units (pixels in [0,1]).
        alpha: Length of the random step in pixel units; None: eps / 2.
        first: The random step: "sign", alpha s(N(0, I)); or "clipped", N(0, I) clipped to [-alpha, alpha] (L-infinity), the
            other reading of "Gaussian noise within a range of alpha".
        loss: What is raised, one value per sample; larger is better for the attacker.
        steps: Always 1.
    """

    ball: Ball = Linf(8 / 255)
    alpha: NonNegative | None = None
    first: Literal["sign", "clipped"] = "sign"
    loss: Loss = auto
    steps: Count = field(default=1, init=False)
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.first == "clipped" and self.ball.norm is not Linf:
            raise ContractError(f"expected a ball in linf for first='clipped', got {self.ball}; use first='sign'")

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
        x0, mask = oracle.domain.x0, oracle.domain.mask
        noise = oracle.rng.normal("start", tuple(x0.shape[1:]), dtype=x0.dtype)
        noise = noise if mask is None else noise * mask
        if self.first == "clipped":
            alpha = self._first(oracle, x0)
            return Point(oracle.domain.project(x0 + torch.minimum(torch.maximum(noise, -alpha), alpha)))
        return Point(advance(oracle, x0, noise, self._first(oracle, x0)))

    def step(self, oracle: Oracle, state: Point, t: int) -> Point:
        _, (g,) = oracle.gradient(state.x, self.loss)
        assert oracle.domain.ball is not None
        rest = oracle.domain.ball.scale(state.x) - self._first(oracle, state.x)
        return Point(advance(oracle, state.x, g, rest))

    def _first(self, oracle: Oracle, x: Tensor) -> Tensor:
        """Length of the random step, in a shape that multiplies images x `(batch, ...)`."""
        assert oracle.domain.ball is not None
        eps = oracle.domain.ball.scale(x)
        return eps / 2 if self.alpha is None else torch.where(eps < self.alpha, eps / 2, self.alpha)
