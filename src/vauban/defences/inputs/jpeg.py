"""JPEG as a defence: Dziugaite, Ghahramani, Roy 2016, arXiv:1608.00853; Guo et al. 2017, arXiv:1711.00117."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.cards import Backward, Card
from vauban.core.errors import MissingExtra
from vauban.defences.base import InputDefence, check_choice, check_int, register
from vauban.defences.inputs.jpeg_approximation import JPEGApproximation, check_colours

BLOCK = 16  # pixels: an 8x8 block of chroma at half resolution
CodecRule = Literal["differentiable", "approximation", "identity"]


@dataclass(frozen=True)
class DifferentiableJPEG:
    """A smooth stand-in for JPEG at `quality`: what BPDA differentiates (Reich et al. 2024, arXiv:2309.06978).

    Images (batch, 1 or 3, height, width) in [0,1], of any size: the border is repeated up to whole blocks, as codecs
    do; a grey image is coded as three equal channels. Its values are near the codec's, not equal to them. A quality given
    with the call takes the place of its own. Raises MissingExtra without kornia.
    """

    quality: int = 75

    def __call__(self, x: Tensor, quality: int | None = None) -> Tensor:
        try:
            from kornia.enhance import jpeg_codec_differentiable
        except ImportError as error:
            raise MissingExtra(
                "kornia", "kornia", "the differentiable JPEG that BPDA puts in the codec's place"
            ) from error
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
    that of any rounding. backward: what the card has BPDA differentiate in its place, "differentiable" for
    `DifferentiableJPEG` at the same quality, "approximation" for `JPEGApproximation`, "identity" for the straight-through
    gradient. Raises ContractError for a quality outside 1 ... 100, another rule, or another number of channels.
    """

    reference = "Dziugaite, Ghahramani, Roy 2016, arXiv:1608.00853"
    quality: int = 75
    backward: CodecRule = "differentiable"

    def __post_init__(self) -> None:
        check_int("quality", self.quality, 1, 100)
        check_choice("backward", self.backward, CodecRule)

    def apply(self, x: Tensor) -> Tensor:
        # Imported here because torchvision costs seconds that no other defence needs.
        from torchvision.io import decode_jpeg, encode_jpeg

        levels = (check_colours(x).detach() * 255).round().clamp(0, 255).to(torch.uint8).cpu()
        decoded = torch.stack(decode_jpeg(encode_jpeg(list(levels), quality=self.quality)))
        # The second term is zero: it keeps the codec's zero derivative, and any NaN, visible to autograd.
        return decoded.to(x.device, x.dtype) / 255 + 0 * x

    @property
    def card(self) -> Card:
        rules: dict[CodecRule, Backward] = {
            "differentiable": DifferentiableJPEG(self.quality),
            "approximation": JPEGApproximation(),
            "identity": None,
        }
        return Card(self.registered, backward={"transform": rules[self.backward]}, reference=self.reference)
