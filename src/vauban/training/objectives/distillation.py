"""Defensive distillation (Papernot et al. 2016, arXiv:1511.04508)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.parameters import Positive
from vauban.engine.network import predict, quiet
from vauban.training import registry
from vauban.training.objective import Passes, Staged, Value, logits_of
from vauban.training.recipe import RecipePart
from vauban.training.same_classes import check_classes


@dataclass
class DistilledObjective(Staged[Tensor]):
    """Mean of -sum_k q_k log p_k with q = softmax(teacher(x) / T) and p = softmax(network(x) / T), (4) of the paper.

    Attributes:
        teacher: Gives q, in evaluation mode; trained at the same temperature in the paper.
        temperature: T; the trained network is used at temperature 1, which is its own logits.
    """

    teacher: nn.Module
    temperature: float

    @property
    def made_passes(self) -> Passes:
        return 1, 0

    def made(self, network: nn.Module, batch: Batch, step: int) -> Tensor:
        with quiet(list(self.teacher.modules())):
            return (predict(self.teacher, batch.x) / self.temperature).softmax(1)

    def value(self, network: nn.Module, batch: Batch, made: Tensor) -> Value:
        logits = logits_of(network, batch.x, batch.y)
        return -(made * (logits / self.temperature).log_softmax(1)).sum(1).mean(), logits


@registry.register("distillation", words={"teacher": "model"})
@dataclass(frozen=True)
class Distillation(RecipePart):
    """Defensive distillation: the softened answers of a trained teacher in the place of the labels.

    Attributes:
        teacher: A trained network with the classes of the one to train.
        temperature: By which the logits of both are divided, above 0.
    """

    teacher: nn.Module
    temperature: Positive = 20.0

    def check(self, network: nn.Module, batch: Batch) -> None:
        check_classes(network, batch, {"teacher": self.teacher})

    def objective(self, seed: int) -> DistilledObjective:
        return DistilledObjective(self.teacher, self.temperature)
