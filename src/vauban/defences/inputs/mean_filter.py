"""Mean smoothing, the simplest spatial feature squeezer (Xu, Evans, Qi 2017, arXiv:1704.01155, section II-B)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from vauban.defences.base import Border, InputDefence, WindowSize, padded, register


@register("mean-filter")
@dataclass(frozen=True)
class MeanFilter(InputDefence):
    """The mean of a size x size window, per channel; linear, hence attacked through its true gradient.

    Images (batch, channel, height, width). Window and border as in `defences.base.padded`: an even window leans to the
    top left. Xu, Evans, Qi 2017, arXiv:1704.01155, section II-B.

    Attributes:
        size: Side of the window in pixels.
        border: Values beyond the border: "reflect", "edge" (the last pixel repeated) or "zero".

    Raises:
        ContractError: A value outside its range, or an image too small to be reflected.
    """

    reference = "Xu, Evans, Qi 2017, arXiv:1704.01155"
    size: WindowSize = 3
    border: Border = "reflect"

    def apply(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(padded(x, self.size, self.border), self.size, stride=1)
