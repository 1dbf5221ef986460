"""Non-local means (Buades, Coll, Morel 2005, doi:10.1109/CVPR.2005.38)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.parameters import Positive, Range
from vauban.defences.base import InputDefence, check_odd, padded, register


@register("non-local-means")
@dataclass(frozen=True)
class NonLocalMeans(InputDefence):
    """Every pixel the mean of those near it, weighted by the likeness of the patches around them.

    z(p) = sum_q w(p, q) x(q) / sum_q w(p, q) over q with |q - p| <= distance on both axes and within the image;
    w = exp(-|P(p) - P(q)|^2 / strength^2), the mean over channels and over the patch of squared differences, a pixel at
    offset o counting as exp(-|o|^2 / (2 a^2)), a = (size - 1)/4. The image is mirrored at its border. Images (batch,
    channel, height, width). Smooth, hence attacked through its true gradient. Buades, Coll, Morel 2005, Equation 2;
    compared as a defence by Xie, Wu, van der Maaten, Yuille, He 2019, arXiv:1812.03411.

    Attributes:
        size: Side of a patch in pixels, odd.
        distance: From a pixel to the farthest it is compared with, in pixels.
        strength: h, in pixels of [0,1]: patches that differ by much less count alike.

    Raises:
        ContractError: An even size, a value outside its range, or an image too small to be mirrored.

    Departures: the width a of the patch is scikit-image's. It sets weights below exp(-5) to 0; here they stay.
    """

    reference = "Buades, Coll, Morel 2005, CVPR, doi:10.1109/CVPR.2005.38"
    size: Annotated[int, Range(3, 31)] = 5
    distance: Annotated[int, Range(1, 100)] = 6
    strength: Positive = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_odd("a patch", self.size, "it has a centre pixel")

    def apply(self, x: Tensor) -> Tensor:
        bordered = padded(x, self.size)
        height, width = x.shape[2:]
        total, weights = x, torch.ones_like(x[:, :1])
        for i in range(min(self.distance, height - 1) + 1):
            for j in range(-min(self.distance, width - 1), min(self.distance, width - 1) + 1):
                if i == 0 and j <= 0:
                    continue  # a pair of pixels is compared once: what i < 0 would give is given by its opposite
                w = self._likeness(bordered, i, j)
                total = total + _put(w * _other(x, i, j), i, j) + _put(w * _own(x, i, j), -i, -j)
                weights = weights + _put(w, i, j) + _put(w, -i, -j)
        return total / weights

    def _likeness(self, bordered: Tensor, i: int, j: int) -> Tensor:
        """w between pixels p and p + (i, j), for every p where both are in the image, `(batch, 1, ...)`."""
        other, own = _other(bordered, i, j), _own(bordered, i, j)
        far = (own - other).square().mean(1, keepdim=True)
        offset = torch.arange(self.size, dtype=far.dtype, device=far.device) - self.size // 2
        share = (-0.5 * (offset * (4 / (self.size - 1))).square()).softmax(0).view(1, 1, 1, -1)
        return (F.conv2d(F.conv2d(far, share), share.mT) / -(self.strength**2)).exp()


def _other(x: Tensor, i: int, j: int) -> Tensor:
    """x(p + (i, j)) for every p where both are in the image, i >= 0."""
    width = x.shape[3]
    return x[:, :, i:, max(j, 0) : width + min(j, 0)]


def _own(x: Tensor, i: int, j: int) -> Tensor:
    """x(p) for the same p."""
    return x[:, :, : x.shape[2] - i, max(-j, 0) : x.shape[3] - max(j, 0)]


def _put(part: Tensor, i: int, j: int) -> Tensor:
    """What belongs to the pixels p that have a p + (i, j), with 0 for the others."""
    return F.pad(part, (max(-j, 0), max(j, 0), max(-i, 0), max(i, 0)))
