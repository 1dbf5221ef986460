"""Diagonal smoothing: named, but not defined, in Centered Initial Attack (review copy, ICLR 2018), section 3.1.1."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.defences.base import Border, InputDefence, check_choice, check_int, padded, register


@register("diagonal-filter")
@dataclass(frozen=True)
class DiagonalFilter(InputDefence):
    """The mean of the 2 size - 1 pixels on both diagonals of a size x size window, the centre counted once, per channel.

    Both diagonals, because a single one would smooth edges of one direction only; the paper does not say which it means.
    Images (batch, channel, height, width); border "reflect", "edge" (the last pixel repeated) or "zero". Linear, hence
    attacked through its true gradient. Raises ContractError for an even size or one outside 1 ... 31, another border, or
    an image too small to be reflected.
    """

    reference = "Centered Initial Attack, review copy for ICLR 2018"
    size: int = 3
    border: Border = "reflect"

    def __post_init__(self) -> None:
        check_int("size", self.size, 1, 31)
        check_choice("border", self.border, Border)
        if self.size % 2 == 0:
            raise ContractError(f"expected an odd size, so that the diagonals share a centre pixel, got {self.size}")

    def apply(self, x: Tensor) -> Tensor:
        one = torch.eye(self.size, dtype=x.dtype, device=x.device)
        kernel = one.maximum(one.flip(0)) / (2 * self.size - 1)
        channels = x.shape[1]
        return F.conv2d(padded(x, self.size, self.border), kernel.expand(channels, 1, -1, -1), groups=channels)
