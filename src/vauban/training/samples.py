"""Training samples: what an epoch is trained on, and what happens to a batch of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from vauban.core.contracts import Batch, check_ids, check_labels
from vauban.engine.samples import Samples, as_samples


@dataclass(frozen=True, eq=False)
class UnclippedBatch(Batch):
    """Samples of a step that may leave [0,1], for a network only: no attack takes them.

    Raises:
        ContractError: Labels or ids break the contract.
    """

    def __post_init__(self) -> None:
        check_labels(self.y, len(self.x))
        check_ids(self.ids, len(self.x))


@runtime_checkable
class TrainingSamples(Samples, Protocol):
    """Samples that may be made anew for an epoch and changed at a step."""

    def epoch(self, network: nn.Module, number: int) -> Samples:
        """The samples of an epoch, made on the network as it stands before the epoch `number`, from 0."""
        ...

    def changed(self, batch: Batch, step: int) -> Batch:
        """The batch that a step is trained on, for one of `epoch`; steps are numbered through all epochs, from 0."""
        ...


@dataclass(frozen=True, eq=False)
class PlainSamples:
    """The same samples in every epoch, unchanged."""

    data: Samples

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, index: Tensor) -> Batch:
        return self.data.batch(index)

    def epoch(self, network: nn.Module, number: int) -> Samples:
        return self.data

    def changed(self, batch: Batch, step: int) -> Batch:
        return batch


@dataclass(frozen=True, eq=False)
class DerivedSamples:
    """Base of samples that alter others: those of `data`, until a subclass overrides `epoch` or `changed`."""

    data: TrainingSamples

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, index: Tensor) -> Batch:
        return self.data.batch(index)

    def epoch(self, network: nn.Module, number: int) -> Samples:
        return self.data.epoch(network, number)

    def changed(self, batch: Batch, step: int) -> Batch:
        return self.data.changed(batch, step)


def training_samples(data: TrainingSamples | Samples | Batch) -> TrainingSamples:
    """Any samples as training samples; what is one already stays as it is."""
    return data if isinstance(data, TrainingSamples) else PlainSamples(as_samples(data))
