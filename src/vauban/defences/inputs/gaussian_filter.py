"""Gaussian smoothing, a spatial feature squeezer (Xu, Evans, Qi 2017, arXiv:1704.01155, section II-B)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.defences.base import Border, InputDefence, check_choice, check_int, check_positive, padded, register


@register("gaussian-filter")
@dataclass(frozen=True)
class GaussianFilter(InputDefence):
    """Correlation with w(i) w(j), w(i) proportional to exp(-i^2 / (2 sigma^2)) on `size` pixels and of sum one.

    Images (batch, channel, height, width), each channel alone; sigma in pixels; border "reflect", "edge" (the last pixel
    repeated) or "zero". Linear, hence attacked through its true gradient. Raises ContractError for sigma <= 0, an even
    size or one outside 1 ... 31, another border, or an image too small to be reflected.
    """

    reference = "Xu, Evans, Qi 2017, arXiv:1704.01155"
    sigma: float = 1.0
    size: int = 5
    border: Border = "reflect"

    def __post_init__(self) -> None:
        check_positive("sigma", self.sigma)
        check_int("size", self.size, 1, 31)
        check_choice("border", self.border, Border)
        if self.size % 2 == 0:
            raise ContractError(f"expected an odd size, so that the Gaussian has a centre pixel, got {self.size}")

    def apply(self, x: Tensor) -> Tensor:
        offset = torch.arange(self.size, dtype=x.dtype, device=x.device) - self.size // 2
        kernel = (-0.5 * (offset / self.sigma).square()).softmax(0)
        channels = x.shape[1]
        rows = kernel.expand(channels, 1, 1, -1)
        return F.conv2d(F.conv2d(padded(x, self.size, self.border), rows, groups=channels), rows.mT, groups=channels)
