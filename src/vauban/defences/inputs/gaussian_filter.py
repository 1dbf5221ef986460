"""Gaussian smoothing, a spatial feature squeezer (Xu, Evans, Qi 2017, arXiv:1704.01155, section II-B)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.parameters import Range
from vauban.defences.base import Border, InputDefence, WindowSize, check_odd, padded, register


@register("gaussian-filter")
@dataclass(frozen=True)
class GaussianFilter(InputDefence):
    """Correlation with w(i) w(j), w(i) proportional to exp(-i^2 / (2 sigma^2)) on `size` pixels and of sum one.

    Images (batch, channel, height, width), each channel alone. Linear, hence attacked through its true gradient. Xu,
    Evans, Qi 2017, arXiv:1704.01155, section II-B.

    Attributes:
        sigma: Width of the Gaussian in pixels.
        size: Side of the window in pixels, odd.
        border: Values beyond the border: "reflect", "edge" (the last pixel repeated) or "zero".

    Raises:
        ContractError: An even size, a value outside its range, or an image too small to be reflected.
    """

    reference = "Xu, Evans, Qi 2017, arXiv:1704.01155"
    sigma: Annotated[float, Range(1e-3)] = 1.0
    size: WindowSize = 5
    border: Border = "reflect"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_odd("a window", self.size, "the Gaussian has a centre pixel")

    def apply(self, x: Tensor) -> Tensor:
        offset = torch.arange(self.size, dtype=x.dtype, device=x.device) - self.size // 2
        kernel = (-0.5 * (offset / self.sigma).square()).softmax(0)
        channels = x.shape[1]
        rows = kernel.expand(channels, 1, 1, -1)
        return F.conv2d(F.conv2d(padded(x, self.size, self.border), rows, groups=channels), rows.mT, groups=channels)
