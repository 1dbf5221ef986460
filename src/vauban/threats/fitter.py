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
from vauban.core.errors import ContractError, VaubanError
from vauban.core.parameters import Count, NonNegative, Parameters, Share, Whole
from vauban.core.precision import working_type
from vauban.core.registry import Registry
from vauban.core.rng import seeded
from vauban.engine.first_answer import first_answer, out_of_memory, reason
from vauban.engine.network import predict, quiet
from vauban.models import weights
from vauban.training.loop import optimise
from vauban.training.objective import Objective

fitters: Registry[Any] = Registry("network to fit", "vauban.threats")
"""What fits a network, under the name of the threat that does so before its attack."""
Asked = Callable[[int], None]
"""Called as callback(queries) after every round, with the number of images that the target has answered."""
LOT = 256  # images of a query batch
FIRST = 8  # images that are asked before the others, and again where a network was kept


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
class AnsweredFit(NetworkFit):
    """A fit that remembers how the target answered, so that another target is noticed later.

    Attributes:
        first: What was kept of the answers to the first images, a row for each.
    """

    first: Tensor


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
            network: Of the architecture `model`, untrained; it is changed, and gets the images' type.
            batches: Images to begin with; their labels are not used.
            seed: Of the order of the images.
            callback: Called after every round.

        Raises:
            ContractError: A network that does not take the images or has other classes than the target, or a target
                that fails on an image.
        """

    def first(self, target: nn.Module, x: Tensor, seed: int) -> Tensor | None:
        """What the target answers now to the first `FIRST` of the images, as `AnsweredFit.first`; None: not known."""
        return None

    def save(self, fitted: NetworkFit, path: Path, meta: Mapping[str, Any]) -> None:
        """Write the network's weights with `meta` beside them, whole or not at all."""
        told: dict[str, Any] = {"reached": dict(fitted.reached), "images": fitted.images, "forwards": fitted.forwards}
        if isinstance(fitted, AnsweredFit):
            told["first"] = fitted.first.tolist()
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
    def kept(self, logits: Tensor) -> Tensor:
        """What is kept of the target's logits `(batch, classes)`, a row for each; finite."""

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
        x = x.to(working_type(x.dtype))
        network.to(x.dtype)
        begun, first = len(x), self._begin(target, network, x, seed)
        answers = first
        if begun > FIRST:
            answers = torch.cat([first, self.kept(asked(target, x[FIRST:], seed))])
        for number in range(self.rounds + 1):
            if number:
                toward = self.directions(network.eval(), x, answers, seed, number)
                further = (x + self.step * toward).clamp(0, 1)
                told = self.kept(asked(target, further, seed, number))
                x, answers = torch.cat([x, further]), torch.cat([answers, told])
            batch = Batch(x, self.labels(answers), torch.arange(len(x), device=device), None)
            objective = self.objective(target, answers)
            optimise(network.train(), batch, epochs=self.epochs, lr=self.lr, seed=seed + number, objective=objective)
            if callback is not None:
                callback(len(x))
        own = self.kept(asked(network.eval(), x, seed, self.rounds + 1))
        same = self.labels(own) == self.labels(answers)
        reached = {f"{self.told} asked for": len(x), "agreement": float(same.double().mean())}
        return AnsweredFit(network, reached, begun, len(x), first.cpu())

    def first(self, target: nn.Module, x: Tensor, seed: int) -> Tensor:
        x = x[:FIRST]
        return self.kept(asked(target, x.to(working_type(x.dtype)), seed)).cpu()

    def _begin(self, target: nn.Module, network: nn.Module, x: Tensor, seed: int) -> Tensor:
        """What is kept of the answers to the first images; the network is tried before the target is asked.

        Raises:
            ContractError: The network does not take the images, or has other classes than the target.
        """
        try:
            with quiet(list(network.modules())), seeded(seed, "answers", device=x.device):
                own = first_answer(network, x[:1]).shape[1]
        except ContractError as error:
            raise ContractError(f"{self.model}: {error}") from error
        logits = asked(target, x[:FIRST], seed)
        if own != logits.shape[1]:
            raise ContractError(f"expected {self.model} to have the {logits.shape[1]} classes of the target, got {own}")
        return self.kept(logits)


def asked(network: nn.Module, x: Tensor, seed: int = 0, number: int = 0) -> Tensor:
    """The logits that a network gives images, `(batch, classes)`; torch's generators are left as they were.

    Args:
        network: The network.
        x: Images `(batch, ...)`.
        seed: Of what a random network draws.
        number: Of the round, so that it draws anew in each.

    Raises:
        ContractError: The network fails on them.
    """
    try:
        with quiet(list(network.modules())), seeded(seed, "answers", number, device=x.device):
            return torch.cat([predict(network, part) for part in torch.split(x, LOT)])
    except (VaubanError, MemoryError):
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        # the likely cause is not looked for, as `first_answer` does: each try would be a query
        raise ContractError(
            f"expected a model that answers {x.dtype} images of shape {tuple(x.shape[1:])}, also between pixel levels, but "
            f"it failed: {reason(error)}"
        ) from error
