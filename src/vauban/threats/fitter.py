"""Fitting of networks of an attacker's own on what a target answers: the interface, and the result with its cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from vauban.core.arguments import NamedArguments
from vauban.core.contracts import Batch
from vauban.core.parameters import Parameters
from vauban.core.registry import Registry
from vauban.models import weights

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
        """

    def save(self, fitted: NetworkFit, path: Path, meta: Mapping[str, Any]) -> None:
        """Write the network's weights with `meta` beside them, whole or not at all."""
        told = {"reached": dict(fitted.reached), "images": fitted.images, "forwards": fitted.forwards}
        weights.save(fitted.network, path, {**meta, "format": 1, "fit": told})
