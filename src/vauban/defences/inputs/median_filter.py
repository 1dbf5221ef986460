"""Median smoothing, the spatial feature squeezer of Xu, Evans, Qi 2017, arXiv:1704.01155, section II-B."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from vauban.defences.base import InputDefence, WindowSize, check_image, padded, register

NETWORK = 5  # windows up to this side are sorted by comparisons of whole images; beyond it there are too many of them
CACHED = 2**16  # pixels that are filtered together on a CPU: with as many, 25 copies of them stay in its caches


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
        planes = check_image(x, f"a {self.size}x{self.size} window").flatten(0, 1)[:, None]
        together = CACHED // max(1, x.shape[2:].numel()) if x.device.type == "cpu" else len(planes)
        return torch.cat([self._filtered(some) for some in torch.split(planes, max(1, together))]).view_as(x)

    def _filtered(self, x: Tensor) -> Tensor:
        """The filter on all images at once."""
        bordered = padded(x, self.size)
        if self.size > NETWORK:
            return bordered.unfold(2, self.size, 1).unfold(3, self.size, 1).flatten(-2).median(-1).values
        height, width = x.shape[2:]
        shifts = [(i, j) for i in range(self.size) for j in range(self.size)]
        with torch.no_grad():
            pixels = [bordered[:, :, i : i + height, j : j + width] for i, j in shifts]
            median = selected(pixels)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return median
        return _picked(bordered, median, pixels, shifts)


def selected(values: list[Tensor]) -> Tensor:
    """The lower median of tensors of one shape, component by component, by comparisons of whole tensors."""
    kept = list(values)
    for low, high, keeps_low, keeps_high in median_comparisons(len(values)):
        a, b = kept[low], kept[high]
        if keeps_low:
            kept[low] = torch.minimum(a, b)
        if keeps_high:
            kept[high] = torch.maximum(a, b)
    return kept[(len(values) - 1) // 2]


@lru_cache
def median_comparisons(count: int) -> tuple[tuple[int, int, bool, bool], ...]:
    """Comparisons that put the lower median of `count` values in its place: positions, and which of the two is asked for.

    Batcher's merge exchange (Knuth, The Art of Computer Programming 3, section 5.2.2, algorithm M), of which only what the
    median depends on is kept.
    """
    pairs: list[tuple[int, int]] = []
    top = 1 << max((count - 1).bit_length() - 1, 0)
    p = top
    while p:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    asked, comparisons = {(count - 1) // 2}, []
    for low, high in reversed(pairs):
        if low in asked or high in asked:
            comparisons.append((low, high, low in asked, high in asked))
            asked |= {low, high}
    return tuple(reversed(comparisons))


def _picked(bordered: Tensor, median: Tensor, pixels: list[Tensor], shifts: list[tuple[int, int]]) -> Tensor:
    """The median taken out of the images, so that its gradient goes to one pixel: the first that equals it."""
    height, width = median.shape[2:]
    wide = bordered.shape[3]
    offset = torch.zeros(median.shape, dtype=torch.int64, device=median.device)
    for pixel, (i, j) in zip(reversed(pixels), reversed(shifts), strict=True):
        offset = torch.where((pixel == median) | pixel.isnan(), i * wide + j, offset)
    own = torch.arange(height, device=median.device)[:, None] * wide + torch.arange(width, device=median.device)
    return bordered.flatten(2).gather(2, (offset + own).flatten(2)).view_as(median)
