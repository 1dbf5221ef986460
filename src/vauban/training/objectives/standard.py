"""Plain training: the criterion on the samples as they are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from vauban.core.contracts import Batch
from vauban.training import registry
from vauban.training.criteria.cross_entropy import PLAIN
from vauban.training.objective import Criterion, Staged, Value, logits_of
from vauban.training.recipe import CRITERION, ObjectivePart


@dataclass(frozen=True)
class CleanObjective(Staged[None]):
    """J(x): the criterion on the images as they are."""

    criterion: Criterion = PLAIN

    def made(self, network: nn.Module, batch: Batch, step: int) -> None:
        return None

    def value(self, network: nn.Module, batch: Batch, made: None) -> Value:
        logits = logits_of(network, batch.x, batch.y)
        return self.criterion(logits, batch.y), logits


@registry.register("standard", words=CRITERION)
@dataclass(frozen=True)
class StandardTraining(ObjectivePart):
    """Plain training: the criterion on the samples as they are."""

    def objective(self, seed: int) -> CleanObjective:
        return CleanObjective(self.criterion)
