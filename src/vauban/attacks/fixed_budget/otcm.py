"""One-step target class method, OTCM (Kurakin et al. 2017).

Kurakin, Goodfellow, Bengio, Adversarial machine learning at scale, 2017 (arXiv:1611.01236), section 2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.fixed_budget.illc import TowardState, approach, depart
from vauban.core.losses import Loss, auto
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Count
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep


@registry.register("otcm", norms=("linf", "l2", "l1"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class OTCM(Steps[TowardState]):
    """One FGSM step toward a class.

    x' = clip(x + eps s(g)), g = grad log p(t | x), s the steepest direction of unit norm; t is the target of a targeted
    goal. For an untargeted one it is the least likely class of the clean image, for which one query is counted, and
    success is any misclassification, as the paper counts it.

    Attributes:
        ball: The budget: L-infinity, L2 or L1, radius in pixel units (pixels in [0,1]).
        loss: What is raised toward the class; `auto` is log p(t | x) until it saturates.
        steps: Always 1.
    """

    ball: Ball = Linf(8 / 255)
    loss: Loss = auto
    steps: Count = field(default=1, init=False)
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "last"

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.steps + 2, self.steps

    def start(self, oracle: Oracle, **per_sample: Tensor) -> TowardState:
        return depart(oracle)

    def step(self, oracle: Oracle, state: TowardState, t: int) -> TowardState:
        assert oracle.domain.ball is not None
        return approach(oracle, state, self.loss, oracle.domain.ball.scale(state.x))
