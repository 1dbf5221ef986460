"""Bit-depth reduction, a feature squeezer (Xu, Evans, Qi 2017, arXiv:1704.01155, section II-A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from vauban.core.parameters import Range
from vauban.defences.base import InputDefence, register


@register("bit-depth")
@dataclass(frozen=True)
class BitDepth(InputDefence):
    """Round every component to 2^bits levels: round(x (2^bits - 1)) / (2^bits - 1).

    Images or vectors in [0,1]. The middle between two levels goes to the even one; no 8-bit value lies there. The
    derivative is zero almost everywhere: BPDA takes the identity. Xu, Evans, Qi 2017, arXiv:1704.01155, section II-A.

    Attributes:
        bits: Bits per component that are left.

    Raises:
        ContractError: bits outside its range.
    """

    reference = "Xu, Evans, Qi 2017, arXiv:1704.01155"
    differentiable: ClassVar[bool] = False
    bits: Annotated[int, Range(1, 8)] = 3

    def apply(self, x: Tensor) -> Tensor:
        steps: int = 2**self.bits - 1
        return (x * steps).round() / steps
