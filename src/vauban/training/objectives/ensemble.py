"""Ensemble adversarial training (Tramèr et al. 2018, arXiv:1705.07204)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.rng import fold
from vauban.engine.attack import Attack
from vauban.training import registry
from vauban.training.objectives.adversarial import AdversarialObjective, Mixed
from vauban.training.recipe import CRITERION, ObjectivePart
from vauban.training.same_classes import check_classes
from vauban.training.statistics_mode import BatchNorm


@dataclass
class EnsembleObjective(AdversarialObjective):
    """alpha J(x) + (1 - alpha) J(x'), x' made on a network drawn for the step: the trained one or one of `sources`.

    Attributes:
        sources: Networks that stay as they are.
    """

    sources: tuple[nn.Module, ...] = ()

    def made(self, network: nn.Module, batch: Batch, step: int) -> Tensor:
        drawn = fold(self.seed, "source", step) % (len(self.sources) + 1)
        source = None if drawn == 0 else self.sources[drawn - 1].to(batch.x.device)
        return self.images(network, batch, step, source=source)


@registry.register("ensemble", words={"attack": "attack", "sources": "models", **CRITERION})
@dataclass(frozen=True)
class EnsembleTraining(ObjectivePart):
    """Ensemble adversarial training: the images of a step come from the trained network or from one of several others.

    Attributes:
        attack: Makes the images.
        sources: Trained networks, which stay as they are.
        alpha: Share of the clean images in the loss.
        batch_norm: Mode of batch normalisation of the trained network while the images are made.

    Raises:
        ContractError: No source.
    """

    attack: Attack
    sources: tuple[nn.Module, ...]
    alpha: Mixed = 0.5
    batch_norm: BatchNorm = "evaluation"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sources:
            raise ContractError("expected sources=[a][b] for ensemble, trained networks to make images on, got none")

    def check(self, network: nn.Module, batch: Batch) -> None:
        check_classes(network, batch, {f"source {i + 1}": source for i, source in enumerate(self.sources)})
        self.objective(0).tried(network, batch)

    def objective(self, seed: int) -> EnsembleObjective:
        return EnsembleObjective(
            self.attack, self.alpha, self.criterion, self.sources, seed=seed, batch_norm=self.batch_norm
        )
