"""JPEG as a defence: Dziugaite, Ghahramani, Roy 2016, arXiv:1608.00853; Guo et al. 2017, arXiv:1711.00117."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.cards import Backward
from vauban.core.errors import check_installed
from vauban.core.parameters import Parameters, Range
from vauban.defences.base import InputDefence, register
from vauban.defences.inputs.jpeg_approximation import JPEGApproximation, check_colours

BLOCK = 16  # pixels: an 8x8 block of chroma at half resolution
CodecRule = Literal["differentiable", "approximation", "identity"]
"""What BPDA differentiates in place of the codec."""
Quality = Annotated[int, Range(1, 100)]
"""Quality factor of libjpeg."""


@dataclass(frozen=True)
class DifferentiableJPEG(Parameters):
    """A smooth stand-in for JPEG: what BPDA differentiates (Reich et al. 2024, arXiv:2309.06978).

    Images (batch, 1 or 3, height, width) in [0,1], of any size: the border is repeated up to whole blocks, as codecs
    do; a grey image is coded as three equal channels. Its values are near the codec's, not equal to them.

    Attributes:
        quality: Of a call that names none.

    Raises:
        ContractError: A quality outside its range; at a call, another number of channels.
        MissingExtra: At a call, without kornia.
    """

    quality: Quality = 75

    def check_installed(self) -> None:
        """Raises MissingExtra without kornia."""
        check_installed("kornia", "kornia", "the differentiable JPEG that BPDA puts in the codec's place")

    def __call__(self, x: Tensor, quality: int | None = None) -> Tensor:
        """The images as they are nearly decoded, of the shape of x.

        Args:
            x: Images `(batch, 1 or 3, height, width)`.
            quality: Takes the place of the object's own.
        """
        self.check_installed()
        from kornia.enhance import jpeg_codec_differentiable

        channels, height, width = check_colours(x).shape[1:]
        whole = F.pad(x, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate").expand(-1, 3, -1, -1)
        factor = float(self.quality if quality is None else quality)
        coded: Tensor = jpeg_codec_differentiable(whole, torch.full((1,), factor, dtype=x.dtype, device=x.device))[
            ..., :height, :width
        ]
        return coded if channels == 3 else coded.mean(1, keepdim=True)


@register("jpeg")
@dataclass(frozen=True)
class JPEG(InputDefence):
    """decode(encode(round(255 x), quality)) / 255 with libjpeg: the bytes a saved file would decode to.

    Images (batch, 1 or 3, height, width) in [0,1]; rounded to 8 bits first, chroma at half resolution; equal to
    Pillow's codec bit for bit, hence computed on the CPU whatever the device of x. Its derivative is taken as zero, as
    that of any rounding. Dziugaite, Ghahramani, Roy 2016, arXiv:1608.00853.

    Attributes:
        quality: Quality factor of libjpeg.
        backward: What the card has BPDA differentiate in its place: "differentiable" for `DifferentiableJPEG` at the same
            quality, "approximation" for `JPEGApproximation`, "identity" for the straight-through gradient.

    Raises:
        ContractError: A value outside its range; another number of channels.
    """

    reference = "Dziugaite, Ghahramani, Roy 2016, arXiv:1608.00853"
    differentiable: ClassVar[bool] = False
    quality: Quality = 75
    backward: CodecRule = "differentiable"

    def apply(self, x: Tensor) -> Tensor:
        if not len(check_colours(x)):
            return x.clone()
        # Imported here because torchvision costs seconds that no other defence needs.
        from torchvision.io import decode_jpeg, encode_jpeg

        levels = (x.detach() * 255).round().clamp(0, 255).to(torch.uint8).cpu()
        decoded = torch.stack(decode_jpeg(encode_jpeg(list(levels), quality=self.quality)))
        # The second term is zero: it keeps the codec's zero derivative, and any NaN, visible to autograd.
        return decoded.to(x.device, x.dtype) / 255 + 0 * x

    @property
    def substitute(self) -> Backward:
        """As `backward` says."""
        rules: dict[CodecRule, Backward] = {
            "differentiable": DifferentiableJPEG(self.quality),
            "approximation": JPEGApproximation(),
            "identity": None,
        }
        return rules[self.backward]
