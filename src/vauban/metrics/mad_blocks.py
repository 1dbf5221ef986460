"""Moments of overlapping blocks, from the moments of the cells that tile them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

CELL = 4  # pixels: the step between blocks, so that blocks of 16 overlap by 75 %
BLOCK = 16 // CELL  # cells on a side of a block
FLAT = 1e-4  # added to the variance that divides the higher moments: 0.01 of a grey level


@dataclass(frozen=True)
class BlockMoments:
    """Of regions of n pixels, each `(batch, rows, columns)`: the mean and the sums of (x - mean)^2, ^3 and ^4."""

    n: int
    mean: Tensor
    second: Tensor
    third: Tensor
    fourth: Tensor

    @property
    def deviation(self) -> Tensor:
        return (self.second / self.n).sqrt()

    @property
    def skewness(self) -> Tensor:
        return self.third / self.n / (self.second / self.n + FLAT) ** 1.5

    @property
    def kurtosis(self) -> Tensor:
        return self.fourth / self.n / (self.second / self.n + FLAT) ** 2


def moments(image: Tensor) -> BlockMoments:
    """Of the cells of an image `(batch, height, width)` whose sides are multiples of `CELL`."""
    batch, height, width = image.shape
    cells = image.view(batch, height // CELL, CELL, width // CELL, CELL).transpose(2, 3)
    mean = cells.mean((3, 4))
    rest = cells - mean[..., None, None]
    square = rest * rest
    second, third, fourth = (m.sum((3, 4)) for m in (square, square * rest, square * square))
    return BlockMoments(CELL * CELL, mean, second, third, fourth)


def merged(parts: BlockMoments, size: int) -> BlockMoments:
    """Of all regions of size x size parts, one part apart: no raw moments, whose differences would lose their digits."""
    mean, second, third, fourth = (
        m.unfold(1, size, 1).unfold(2, size, 1) for m in (parts.mean, parts.second, parts.third, parts.fourth)
    )
    whole = mean.mean((3, 4))
    shift = mean - whole[..., None, None]
    square = shift * shift
    return BlockMoments(
        parts.n * size * size,
        whole,
        (second + parts.n * square).sum((3, 4)),
        (third + shift * (3 * second + parts.n * square)).sum((3, 4)),
        (fourth + 4 * shift * third + square * (6 * second + parts.n * square)).sum((3, 4)),
    )
