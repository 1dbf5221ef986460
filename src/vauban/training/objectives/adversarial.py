"""Adversarial training step by step, Madry et al. 2018 (arXiv:1706.06083)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.parameters import Range
from vauban.engine.attack import Attack
from vauban.training import registry
from vauban.training.criteria.cross_entropy import PLAIN
from vauban.training.objective import CraftedObjective, Criterion, Passes, Value, logits_of
from vauban.training.recipe import CRITERION, ObjectivePart
from vauban.training.statistics_mode import BatchNorm

Mixed = Annotated[float, Range(0, 1, open_high=True)]
"""A share of the clean images, in [0, 1)."""


@dataclass
class AdversarialObjective(CraftedObjective[Tensor]):
    """alpha J(x) + (1 - alpha) J(x'), x' the attack's image of x on the network of the moment.

    With alpha = 0, min_theta E max_{x' in ball} J(x'), Madry et al. 2018 (arXiv:1706.06083), (2.1), x alone is not looked
    at; else Goodfellow et al. 2015 (arXiv:1412.6572), section 6, by one forward for x and one for x'.

    Attributes:
        alpha: Share of the clean images, in [0, 1).
        criterion: J.
    """

    alpha: float = 0.0
    criterion: Criterion = PLAIN

    @property
    def value_passes(self) -> Passes:
        return (1, 1) if self.alpha == 0 else (2, 2)

    def made(self, network: nn.Module, batch: Batch, step: int) -> Tensor:
        return self.images(network, batch, step)

    def value(self, network: nn.Module, batch: Batch, made: Tensor) -> Value:
        clean = None if self.alpha == 0 else self.criterion(logits_of(network, batch.x, batch.y), batch.y)
        logits = logits_of(network, made, batch.y)
        attacked = self.criterion(logits, batch.y)
        return (attacked if clean is None else self.alpha * clean + (1 - self.alpha) * attacked), logits


@registry.register("at", words={"attack": "attack", **CRITERION})
@dataclass(frozen=True)
class AdversarialTraining(ObjectivePart):
    """Adversarial training: at every step the attack's images take the place of the clean ones, or stand beside them.

    The loss of a step is alpha J(x) + (1 - alpha) J(x'), x' the image the attack makes of x on the network of the moment:
    see `AdversarialObjective`.

    Attributes:
        attack: Makes the images.
        alpha: Share of the clean images in the loss; 0 replaces them.
        batch_norm: Mode of batch normalisation while the images are made.
    """

    attack: Attack
    alpha: Mixed = 0.0
    batch_norm: BatchNorm = "evaluation"

    def check(self, network: nn.Module, batch: Batch) -> None:
        self.objective(0).tried(network, batch)

    def objective(self, seed: int) -> AdversarialObjective:
        return AdversarialObjective(self.attack, self.alpha, self.criterion, seed=seed, batch_norm=self.batch_norm)
