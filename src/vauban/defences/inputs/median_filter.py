"""Median smoothing, the spatial feature squeezer of Xu, Evans, Qi 2017, arXiv:1704.01155, section II-B."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.defences.base import InputDefence, WindowSize, padded, register


@register("median-filter")
@dataclass(frozen=True)
class MedianFilter(InputDefence):
    """The median of a size x size window, per channel: every output is one of the input's pixels.

    Images (batch, channel, height, width). Window and border as in `defences.base.padded`. The median is
    torch.median's: of an even number of values the lower of the two middle ones; the gradient goes whole to the one
    pixel selected (any of the equal ones), so the filter is differentiable almost everywhere and needs no BPDA. Xu, Evans,
    Qi 2017, arXiv:1704.01155, section II-B.

    Attributes:
        size: Side of the window in pixels.

    Raises:
        ContractError: A size outside its range, or an image smaller than the border.

    Departures: the paper's code, on SciPy, takes the upper of the two middle values and repeats the edge pixel in its
    border.
    """

    reference = "Xu, Evans, Qi 2017, arXiv:1704.01155"
    size: WindowSize = 3

    def apply(self, x: Tensor) -> Tensor:
        windows = padded(x, self.size).unfold(2, self.size, 1).unfold(3, self.size, 1)
        return windows.flatten(-2).median(-1).values
