"""Diagonal smoothing: named, but not defined, in Centered Initial Attack (review copy, ICLR 2018), section 3.1.1."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.defences.base import Border, InputDefence, WindowSize, check_odd, padded, register


@register("diagonal-filter")
@dataclass(frozen=True)
class DiagonalFilter(InputDefence):
    """The mean of the 2 size - 1 pixels on both diagonals of a size x size window, the centre counted once, per channel.

    Images (batch, channel, height, width). Linear, hence attacked through its true gradient. Centered Initial Attack
    (review copy, ICLR 2018), section 3.1.1.

    Attributes:
        size: Side of the window in pixels, odd.
        border: Values beyond the border: "reflect", "edge" (the last pixel repeated) or "zero".

    Raises:
        ContractError: An even size, a value outside its range, or an image too small to be reflected.

    Departures: both diagonals, because a single one would smooth edges of one direction only; the paper does not say which
    it means.
    """

    reference = "Centered Initial Attack, review copy for ICLR 2018"
    size: WindowSize = 3
    border: Border = "reflect"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_odd("a window", self.size, "the diagonals share a centre pixel")

    def apply(self, x: Tensor) -> Tensor:
        one = torch.eye(self.size, dtype=x.dtype, device=x.device)
        kernel = one.maximum(one.flip(0)) / (2 * self.size - 1)
        channels = x.shape[1]
        return F.conv2d(padded(x, self.size, self.border), kernel.expand(channels, 1, -1, -1), groups=channels)
