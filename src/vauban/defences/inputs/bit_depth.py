"""Bit-depth reduction, a feature squeezer (Xu, Evans, Qi 2017, arXiv:1704.01155, section II-A)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.core.cards import Card
from vauban.defences.base import InputDefence, check_int, register


@register("bit-depth")
@dataclass(frozen=True)
class BitDepth(InputDefence):
    """Round every component to 2^bits levels: round(x (2^bits - 1)) / (2^bits - 1).

    Images or vectors in [0,1]. The middle between two levels goes to the even one; no 8-bit value lies there.
    Raises ContractError unless bits is 1 ... 8. The derivative is zero almost everywhere: BPDA takes the identity.
    """

    reference = "Xu, Evans, Qi 2017, arXiv:1704.01155"
    bits: int = 3

    def __post_init__(self) -> None:
        check_int("bits", self.bits, 1, 8)

    def apply(self, x: Tensor) -> Tensor:
        steps: int = 2**self.bits - 1
        return (x * steps).round() / steps

    @property
    def card(self) -> Card:
        return Card(self.registered, backward={"transform": None}, reference=self.reference)
