"""Detectors that learn from a stream of images, which is gone through twice: to learn, and to calibrate."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.defences.detectors.learned import Learned, LearnedDetectorFitter
from vauban.defences.fitter import DefenceFit, Passed


@dataclass(frozen=True)
class Share:
    """Every second image of a stream, a batch at a time.

    Attributes:
        batches: The stream.
        first: 0 for the first, third, ... image of it, 1 for the others.
    """

    batches: Iterable[Batch]
    first: int

    def __iter__(self) -> Iterator[Batch]:
        seen = 0
        for batch in self.batches:
            at = slice((self.first - seen) % 2, None, 2)
            seen += len(batch)
            if len(batch.x[at]):
                yield replace(batch, x=batch.x[at], y=batch.y[at], ids=batch.ids[at])


@dataclass(frozen=True)
class StreamedDetectorFitter(LearnedDetectorFitter):
    """Base of fits that learn from a stream; what they hold does not grow with it."""

    @abstractmethod
    def learn(
        self, module: nn.Module, batches: Iterable[Batch], seed: int, callback: Passed | None
    ) -> tuple[Learned, int, int]:
        """What the detector learns from a stream of images, how many there were, and forward passes over them."""

    def fit(
        self, module: nn.Module | None, batches: Iterable[Batch], *, seed: int = 0, callback: Passed | None = None
    ) -> DefenceFit[Any]:
        network = self._network(module)
        if iter(batches) is batches:
            raise ContractError(
                f"expected batches that can be gone through twice for {self.kind!r}, got an iterator; give a list"
            )
        learned, images, forwards = self.learn(network, Share(batches, 0), seed, callback)
        detector = self.holding(learned)
        return self._calibrated(detector, network, Share(batches, 1), seed, callback, before=(images, forwards))
