"""Non-local means before the network (Buades, Coll, Morel 2005, CVPR; Xu, Evans, Qi 2017, arXiv:1704.01155, II-B)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.parameters import Range
from vauban.defences.base import InputDefence, check_odd, padded, register


@register("non-local-means")
@dataclass(frozen=True)
class NonLocalMeans(InputDefence):
    """Each pixel the mean of the pixels around it, weighted by how alike the patches around both are.

    x'_i = sum_j w_ij x_j / sum_j w_ij, w_ij = exp(-sum_k g_k |x_{i+k} - x_{j+k}|^2 / strength^2), over the pixels j of a
    search x search window that lie in the image, i itself included; k runs over a patch, g is a Gaussian of standard
    deviation (patch - 1) / 4 of sum 1, the square is the mean over channels, and patches see the image mirrored at its
    border. Images `(batch, channel, height, width)`; differentiable. Buades, Coll, Morel 2005, equation 2; as a feature
    squeezer Xu, Evans, Qi 2017, arXiv:1704.01155, section II-B, whose strongest setting (11-3-4) is the default.

    Attributes:
        search: Side of the window of pixels averaged.
        patch: Side of the patches compared.
        strength: Difference of patches at which a weight is 1/e, in pixel units.

    Raises:
        ContractError: A value outside its range, an even size, or an image smaller than half a patch.

    Departures: the squeezers use OpenCV's version, which compares all pixels of a patch alike and treats lightness and
    colour apart.
    """

    reference = "Buades, Coll, Morel 2005; Xu, Evans, Qi 2017, arXiv:1704.01155"
    search: Annotated[int, Range(1, 63)] = 11
    patch: Annotated[int, Range(1, 31)] = 3
    strength: Annotated[float, Range(1e-3, 1e3)] = 4 / 255

    def __post_init__(self) -> None:
        super().__post_init__()
        check_odd("search", self.search, "a window has a centre pixel")
        check_odd("patch", self.patch, "a patch has a centre pixel")

    def apply(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:] if x.dim() == 4 else (0, 0)
        bordered, around = padded(x, self.patch), self.patch - 1
        kernel = self._kernel(x)
        # A pixel and itself: weight 1.
        values, weights = x.clone(), torch.ones_like(x[:, :1])
        for down, along in self._half():
            if down >= height or abs(along) >= width:
                continue
            left, right = max(0, -along), width - max(0, along)
            here = (slice(0, height - down), slice(left, right))
            there = (slice(down, height), slice(left + along, right + along))
            one = bordered[:, :, : height - down + around, left : right + around]
            other = bordered[:, :, down : height + around, left + along : right + along + around]
            apart = F.conv2d(F.conv2d((one - other).square().mean(1, keepdim=True), kernel), kernel.mT)
            alike = torch.exp(-apart / self.strength**2)
            for to, of in ((here, there), (there, here)):
                values[:, :, to[0], to[1]] += alike * x[:, :, of[0], of[1]]
                weights[:, :, to[0], to[1]] += alike
        return (values / weights).clamp(0, 1)

    def _half(self) -> list[tuple[int, int]]:
        """Half of the shifts of the window; the others are those backwards, with the same weights."""
        reach = self.search // 2
        return [(i, j) for i in range(reach + 1) for j in range(-reach, reach + 1) if i > 0 or j > 0]

    def _kernel(self, x: Tensor) -> Tensor:
        """One axis of g, `(1, 1, patch, 1)`."""
        offsets = torch.arange(self.patch, dtype=x.dtype, device=x.device) - self.patch // 2
        g = torch.exp(-(offsets**2) / (2 * ((self.patch - 1) / 4 or 1) ** 2))  # a patch of one pixel has no spread
        return (g / g.sum())[None, None, :, None]
