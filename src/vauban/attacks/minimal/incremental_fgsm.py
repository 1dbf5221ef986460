"""FGSM with a budget that grows until the answer changes (Zantedeschi, Nicolae and Rawat 2017, arXiv:1707.06728)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from vauban.attacks import registry
from vauban.core.errors import ContractError
from vauban.core.losses import Loss, auto
from vauban.core.norms import L2, Linf, Norm
from vauban.core.parameters import Count, Positive
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep


@dataclass(frozen=True)
class Direction:
    """State: the images `(batch, ...)`, and the steepest direction of the loss at the original."""

    x: Tensor
    direction: Tensor


@registry.register("incremental-fgsm", norms=("linf", "l2"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class IncrementalFGSM(Steps[Direction]):
    """FGSM whose eps is raised by equal increments until the label changes: the minimal FGSM of empirical robustness.

    x_k = clip(x + (k / steps) largest s(g)), g the image gradient of the loss at x and s the steepest direction of the
    norm, for k = 1, 2, ..., steps; the first x_k that reaches the goal is kept. Each x_k is judged by a gradient call, of
    which only the logits are used. A single direction says what FGSM needs, and little of what is needed.

    Attributes:
        norm: L-infinity or L2, in which eps is measured.
        largest: The last eps, pixel units of [0,1]; the paper goes to 1.
        steps: Increments from 0 to there, of 0.01 in the paper.
        loss: What is raised, one value per sample; larger is better for the attacker.
    """

    norm: Norm = Linf
    largest: Positive = 1.0
    steps: Count = 100
    loss: Loss = auto
    stop: ClassVar[Stop] = "first"
    keep: ClassVar[Keep] = "first"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm not in (Linf, L2):
            raise ContractError(f"expected norm of incremental-fgsm as linf or l2, got {self.norm.name}")

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Direction:
        return Direction(oracle.domain.x0, oracle.domain.x0)

    def step(self, oracle: Oracle, state: Direction, t: int) -> Direction:
        _, (g,) = oracle.gradient(state.x, self.loss)  # after the first step it only judges
        direction = state.direction if t else self.norm.steepest(g)
        x0 = oracle.domain.x0
        return Direction(oracle.domain.project(x0 + (t + 1) / self.steps * self.largest * direction), direction)
