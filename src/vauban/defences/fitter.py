"""Fitting of defences on images before they stand in front of a network: the interface, and the result with its cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from vauban.core.arguments import NamedArguments
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.parameters import Parameters
from vauban.defences.base import Defence
from vauban.engine.samples import Samples, as_samples

D = TypeVar("D")
Passed = Callable[[int], None]
"""Called as callback(images) after every batch, with the number of images read so far."""


@dataclass(frozen=True)
class DefenceFit(NamedArguments, Generic[D]):
    """A fitted defence, and what fitting it cost, apart from what running it will.

    Attributes:
        defence: The fitted defence.
        reached: What the fit has reached on the images, by name: `{"mean squared distance": 0.004}`.
        images: Images fitted on.
        forwards: Forward passes through the network, over all images; 0 where it is not read.
    """

    defence: D
    reached: Mapping[str, float]
    images: int
    forwards: int

    @property
    def cost(self) -> dict[str, Any]:
        """What the fit has reached and cost, as JSON: `fit` in the metadata of its file."""
        return {"reached": dict(self.reached), "images": self.images, "forwards": self.forwards}


class DefenceFitter(Parameters, ABC):
    """Hyper-parameters of a defence that has to be fitted, a frozen dataclass registered in `defences.fitters`.

    Attributes:
        kind: Name of the defence that it fits.
    """

    kind: ClassVar[str] = ""

    @property
    def reads_network(self) -> bool:
        """Whether the fit asks the network; one that reads images alone needs none."""
        return True

    @abstractmethod
    def fit(
        self, module: nn.Module | None, batches: Iterable[Batch], *, seed: int = 0, callback: Passed | None = None
    ) -> DefenceFit[Any]:
        """Fit the defence to images.

        Args:
            module: The network; None where the fit does not read it.
            batches: Images, read as a stream: what is held in memory does not grow with their number.
            seed: Of every random number.
            callback: Called after every batch.

        Raises:
            ContractError: What cannot be fitted, before it costs anything where it can be told then.
        """

    def untrained(self, shape: tuple[int, ...]) -> Defence | None:
        """The defence with random weights for images of a shape, for a trial of the code; None: there is none."""
        return None

    @abstractmethod
    def save(self, fitted: DefenceFit[Any], path: Path, meta: Mapping[str, Any]) -> None:
        """Write what was fitted with `meta` beside it, whole or not at all."""

    @abstractmethod
    def load(self, path: Path) -> Defence:
        """The defence that a file holds."""


def in_memory(batches: Iterable[Batch], kind: str) -> Samples:
    """The images of a stream, held in memory to train on. Raises ContractError: there are none."""
    parts = list(batches)
    if not parts:
        raise ContractError(f"expected at least one batch of images to train {kind!r} on, got none")
    x, y, ids = (torch.cat([getattr(part, name) for part in parts]) for name in ("x", "y", "ids"))
    return as_samples(Batch(x, y, ids, parts[0].levels))


class TrainedDefenceFitter(DefenceFitter):
    """Base of fitters that train by mini-batches, shuffled in every epoch, and go on after a kill."""

    @abstractmethod
    def train(
        self,
        module: nn.Module | None,
        samples: Samples,
        *,
        seed: int = 0,
        device: str = "cpu",
        checkpoint: Path | None = None,
        callback: Passed | None = None,
    ) -> DefenceFit[Any]:
        """Train the defence.

        Args:
            module: The network; None where the fit does not read it.
            samples: Images and labels, read as they are needed.
            seed: Of every random number.
            device: Where to train.
            checkpoint: A file, or the stem of several, that a training goes on from and ends as if it had not been killed.
            callback: Called after each epoch with the number of images so far.

        Raises:
            ContractError: What cannot be fitted, before it costs anything where it can be told then.
        """
