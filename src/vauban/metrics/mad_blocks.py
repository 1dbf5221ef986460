"""Moments of overlapping blocks, from the moments of the cells that tile them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

CELL = 4  # pixels: the step between blocks, so that blocks of 16 overlap by 75 %
BLOCK = 16 // CELL  # cells on a side of a block
FLAT = 1e-4  # added to the variance that divides the higher moments: 0.01 of a grey level


@dataclass(frozen=True)
class BlockMoments:
    """Central moments of the regions of an image.

    Attributes:
        n: Pixels of a region.
        mean: Their mean, `(batch, rows, columns)`.
        second: The sum of (x - mean)^2 of each region, of the same shape.
        third: The sum of (x - mean)^3.
        fourth: The sum of (x - mean)^4.
    """

    n: int
    mean: Tensor
    second: Tensor
    third: Tensor
    fourth: Tensor

    @property
    def deviation(self) -> Tensor:
        """Standard deviation."""
        return (self.second / self.n).sqrt()

    @property
    def skewness(self) -> Tensor:
        """Skewness, its variance raised by `FLAT`."""
        return self.third / self.n / (self.second / self.n + FLAT) ** 1.5

    @property
    def kurtosis(self) -> Tensor:
        """Kurtosis, its variance raised by `FLAT`."""
        return self.fourth / self.n / (self.second / self.n + FLAT) ** 2


def moments(image: Tensor) -> BlockMoments:
    """Moments of the cells of images `(batch, height, width)` whose sides are multiples of `CELL`."""
    batch, height, width = image.shape
    cells = image.view(batch, height // CELL, CELL, width // CELL, CELL).transpose(2, 3)
    mean = cells.mean((3, 4))
    deviation = cells - mean[..., None, None]
    square = deviation * deviation
    second, third, fourth = (power.sum((3, 4)) for power in (square, square * deviation, square * square))
    return BlockMoments(CELL * CELL, mean, second, third, fourth)


def merged(parts: BlockMoments, size: int) -> BlockMoments:
    """Moments of all regions of size x size parts, one part apart.

    From central moments: differences of raw ones would lose their digits.
    """
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
