"""Base of the metrics of a network: one value for each image, from the network, the image and what an attack made of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from vauban.core.arguments import NamedArguments
from vauban.core.contracts import Batch
from vauban.core.parameters import Parameters
from vauban.core.rng import Stream


@dataclass(frozen=True, eq=False)
class MeasuredBatch(NamedArguments):
    """What a metric is given of a batch.

    Attributes:
        network: The network, behind its defence.
        batch: The images.
        image: What the attack made of them, `(batch, ...)`; the images themselves without an attack.
        fooled: Whether it has changed the answer to another than the label, bool `(batch,)`; None without an attack.
        rng: Of the samples.
    """

    network: nn.Module
    batch: Batch
    image: Tensor
    fooled: Tensor | None
    rng: Stream


@dataclass(frozen=True)
class NetworkMetric(Parameters, ABC):
    """A metric of a network; subclasses are frozen dataclasses of parameters with `values`.

    Registered with `@metrics.network_registry.register(name)`.

    Attributes:
        unit: Of its values; "1" for a number without unit.
        direction: Which values speak for the network, `lower` or `higher`; "" where neither does.
    """

    unit: ClassVar[str] = "1"
    direction: ClassVar[Literal["lower", "higher", ""]] = ""

    @property
    def attacked(self) -> bool:
        """Whether it says something of an attack's images, and needs one."""
        return False

    @abstractmethod
    def values(self, given: MeasuredBatch) -> Tensor:
        """A value for each image, of nearly all metrics at least 0, float64 `(batch,)`; NaN where there is none."""
