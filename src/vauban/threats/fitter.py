"""Fitting of networks of an attacker's own on what a target answers: the interface, and the result with its cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vauban.core.arguments import NamedArguments
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.parameters import Count, NonNegative, Parameters, Share, Whole
from vauban.core.registry import Registry
from vauban.models import weights
from vauban.training.loop import optimise
from vauban.training.objective import Objective

fitters: Registry[Any] = Registry("network to fit", "vauban.threats")
"""What fits a network, under the name of the threat that does so before its attack."""
Asked = Callable[[int], None]
"""Called as callback(queries) after every round, with the number of images that the target has answered."""


@dataclass(frozen=True)
class NetworkFit(NamedArguments):
    """A fitted network, and what fitting it cost, apart from what attacking it will.

    Attributes:
        network: The network.
        reached: What the fit has reached, by name: `{"agreement": 0.93}`.
        images: Images that it began with.
        forwards: Images that the target answered.
    """

    network: nn.Module
    reached: Mapping[str, float]
    images: int
    forwards: int


@dataclass(frozen=True)
class NetworkFitter(Parameters, ABC):
    """Hyper-parameters of a network that is fitted on a target's answers, a frozen dataclass registered in `fitters`.

    Attributes:
        model: Architecture of the network, `mnist-c4`.
    """

    kind: ClassVar[str] = ""
    model: str

    @abstractmethod
    def asks(self, images: int) -> int:
        """How many images the target is asked about, where the fit begins with some."""

    @abstractmethod
    def fit(
        self,
        target: nn.Module,
        network: nn.Module,
        batches: Iterable[Batch],
        *,
        seed: int = 0,
        callback: Asked | None = None,
    ) -> NetworkFit:
        """Fit the network.

        Args:
            target: What is asked.
            network: Of the architecture `model`, untrained; it is changed.
            batches: Images to begin with; their labels are not used.
            seed: Of the order of the images.
            callback: Called after every round.

        Raises:
            ContractError: A network of fewer classes than the target.
        """

    def save(self, fitted: NetworkFit, path: Path, meta: Mapping[str, Any]) -> None:
        """Write the network's weights with `meta` beside them, whole or not at all."""
        told = {"reached": dict(fitted.reached), "images": fitted.images, "forwards": fitted.forwards}
        weights.save(fitted.network, path, {**meta, "format": 1, "fit": told})


@dataclass(frozen=True)
class FitterInRounds(NetworkFitter):
    """Base of networks that are fitted in rounds, each of which doubles the images that the target answers.

    Attributes:
        rounds: Rounds of further images.
        epochs: Of each training, from the weights of the one before.
        step: How far an image is moved for a further one, pixel units.
        lr: Learning rate of Adam.
    """

    rounds: Whole = 5
    epochs: Count = 10
    step: Share = 0.1
    lr: NonNegative = 1e-3
    told: ClassVar[str] = "answers"

    def asks(self, images: int) -> int:
        return int(images * 2**self.rounds)

    @abstractmethod
    def answers(self, target: nn.Module, x: Tensor) -> Tensor:
        """What the target answers to images, a row for each."""

    @abstractmethod
    def labels(self, answers: Tensor) -> Tensor:
        """The labels in the answers, int64 `(batch,)`."""

    @abstractmethod
    def directions(self, network: nn.Module, x: Tensor, answers: Tensor, seed: int, number: int) -> Tensor:
        """Where each image is moved for a further one, of the shape of x."""

    def objective(self, target: nn.Module, answers: Tensor) -> Objective | None:
        """What a training makes small; None: the cross-entropy with the labels."""
        return None

    def fit(
        self,
        target: nn.Module,
        network: nn.Module,
        batches: Iterable[Batch],
        *,
        seed: int = 0,
        callback: Asked | None = None,
    ) -> NetworkFit:
        device = next(network.parameters()).device
        x = torch.cat([batch.x for batch in batches]).to(device)
        first, answers = len(x), self.answers(target, x)
        own = self.answers(network.eval(), x[:1])
        if own.shape[1:] < answers.shape[1:]:
            raise ContractError(
                f"expected {self.model} to have the {answers.shape[1]} classes of the target, got {own.shape[1]}"
            )
        for number in range(self.rounds + 1):
            if number:
                toward = self.directions(network.eval(), x, answers, seed, number)
                further = (x + self.step * toward).clamp(0, 1)
                x, answers = torch.cat([x, further]), torch.cat([answers, self.answers(target, further)])
            batch = Batch(x, self.labels(answers), torch.arange(len(x), device=device), None)
            objective = self.objective(target, answers)
            optimise(network.train(), batch, epochs=self.epochs, lr=self.lr, seed=seed + number, objective=objective)
            if callback is not None:
                callback(len(x))
        same = self.labels(self.answers(network.eval(), x)) == self.labels(answers)
        reached = {f"{self.told} asked for": len(x), "agreement": float(same.double().mean())}
        return NetworkFit(network, reached, first, len(x))
