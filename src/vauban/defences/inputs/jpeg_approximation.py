"""Rough model of JPEG of Centered Initial Attack (review copy, ICLR 2018), section 3.2 and Fig. 6."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.defences.base import Border, InputDefence, check_image, padded, register

JFIF = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # rows: Y, Cb, Cr


@register("jpeg-approximation")
@dataclass(frozen=True)
class JPEGApproximation(InputDefence):
    """T^-1 applied to (mean 3x3 of Y, mean 6x6 of Cb and Cr), with T the JFIF matrix from RGB to YCbCr.

    No blocks, no cosine transform, no quantisation: the paper itself calls it too rough, and it is no way around JPEG. As
    a function it is a BPDA substitute of the codec, `JPEG(quality, backward="approximation")`. Images (batch, 1 or 3,
    height, width); a grey image is all Y. The 6x6 window of pixel i covers i - 2 ... i + 3. Linear, hence attacked through
    its true gradient; as in the paper nothing is clipped, so near a border between colours values can leave [0,1] a
    little. Centered Initial Attack (review copy, ICLR 2018), section 3.2 and Fig. 6.

    Attributes:
        border: Values beyond the border: "edge" (the last pixel repeated), "reflect" or "zero" (black); the paper names
            none.

    Raises:
        ContractError: Another border or number of channels, or an image too small to be reflected.
    """

    reference = "Centered Initial Attack, review copy for ICLR 2018"
    border: Border = "edge"

    def __call__(self, x: Tensor) -> Tensor:
        """As `apply`: a substitute is a function."""
        return self.apply(x)

    def apply(self, x: Tensor) -> Tensor:
        if check_colours(x).shape[1] == 1:
            return self._mean(x, 3)
        # The offset 1/2 of Cb and Cr cancels: a mean keeps it, and black pixels beyond the border have it as well.
        forth = torch.tensor(JFIF, dtype=torch.float64, device=x.device)
        back = torch.linalg.inv(forth).to(x.dtype)
        colours = torch.einsum("ij,bjhw->bihw", forth.to(x.dtype), x)
        smooth = torch.cat([self._mean(colours[:, :1], 3), self._mean(colours[:, 1:], 6)], 1)
        return torch.einsum("ij,bjhw->bihw", back, smooth)

    def _mean(self, x: Tensor, size: int) -> Tensor:
        return F.avg_pool2d(padded(x, size, self.border, before=(size - 1) // 2), size, stride=1)


def check_colours(x: Tensor) -> Tensor:
    """x itself. Raises ContractError unless it is `(batch, 1 or 3, height, width)`."""
    if check_image(x, "JPEG").shape[1] not in (1, 3):
        raise ContractError(f"expected images with 1 or 3 channels for JPEG, got {x.shape[1]}")
    return x
