"""Feature squeezing in training: fewer bits of colour (Xu, Evans and Qi 2018, arXiv:1704.01155)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from vauban.core.contracts import Batch
from vauban.core.parameters import Range
from vauban.training import registry
from vauban.training.recipe import RecipePart
from vauban.training.samples import DerivedSamples, TrainingSamples


@registry.register("squeezing")
@dataclass(frozen=True)
class Squeezing(RecipePart):
    """Training on images of `bits` bits, round(x (2^bits - 1)) / (2^bits - 1), after every other change of the samples.

    The network stays without the squeezing in front, so that its gradient at a squeezed image is the identity through the
    rounding; one that is to be squeezed in use as well is trained behind the defence bit-depth instead.

    Attributes:
        bits: Of a component, from 1 to 8.
    """

    bits: Annotated[int, Range(1, 8)] = 1

    def samples(self, data: TrainingSamples, seed: int) -> TrainingSamples:
        return _Squeezed(data, self.bits)


@dataclass(frozen=True, eq=False)
class _Squeezed(DerivedSamples):
    bits: int

    def changed(self, batch: Batch, step: int) -> Batch:
        batch, highest = self.data.changed(batch, step), 2**self.bits - 1
        return replace(batch, x=(batch.x * highest).round() / highest, levels=None)
