"""Threats whose attacker trains a network on what the target answers, and attacks that in its place."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from torch import nn

from vauban.core.errors import ContractError
from vauban.core.norms import Ball
from vauban.core.parameters import Count, NonNegative, Share, Whole
from vauban.engine.threat import BoundThreat
from vauban.threats.base import Means, Threat
from vauban.threats.fitter import NetworkFitter


@dataclass(frozen=True, eq=False)
class TrainedOnAnswers(Threat):
    """Base: the network is that of a fitter, made once and kept; the attack asks the target nothing.

    Attributes:
        model: Architecture of the network, `mnist-c4`.
        data: Images to begin with, apart from those that are attacked. Their labels are not used.
        rounds, epochs, step, lr: As of `FitterInRounds`.
        seed: Of the network's initial weights and the order of the images.
        trained: The network; made before the attack.
    """

    model: str
    data: str
    rounds: Whole = 5
    epochs: Count = 10
    step: Share = 0.1
    lr: NonNegative = 1e-3
    seed: Whole = field(default=0, kw_only=True)
    trained: nn.Module | None = field(default=None, repr=False, kw_only=True)
    grants: ClassVar[frozenset[str]] = frozenset({"gradients"})

    @property
    @abstractmethod
    def fitter(self) -> NetworkFitter:
        """What trains the network."""

    def prepare(self, means: Means) -> Self:
        if self.trained is not None:
            return self
        fitted = means.fit(self.fitter, means.data(self.data).all(), self.seed)
        return replace(self, trained=fitted.network)

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        if self.trained is None:
            raise ContractError(
                f"expected a study (vauban evaluate), which trains the network before the attack, or trained=NETWORK, for "
                f"{self.registered}, got an attack alone"
            )
        sources = ((self.trained, 1.0),)
        return BoundThreat(defended, self.name, sources, self.grants, budget=budget, levels=levels, limit=limit)
