"""JPEG as a defence: Dziugaite, Ghahramani, Roy 2016, arXiv:1608.00853; Guo et al. 2017, arXiv:1711.00117."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.cards import Card
from vauban.core.errors import ContractError, MissingExtra
from vauban.defences.base import InputDefence, check_image, check_int, register

BLOCK = 16  # pixels: an 8x8 block of chroma at half resolution


@dataclass(frozen=True)
class DifferentiableJPEG:
    """A smooth stand-in for JPEG at `quality`: what BPDA differentiates (Reich et al. 2024, arXiv:2309.06978).

    Images (batch, 1 or 3, height, width) in [0,1], of any size: the border is repeated up to whole blocks, as codecs
    do; a grey image is coded as three equal channels. Its values are near the codec's, not equal to them. Raises
    MissingExtra without kornia.
    """

    quality: int = 75

    def __call__(self, x: Tensor) -> Tensor:
        try:
            from kornia.enhance import jpeg_codec_differentiable
        except ImportError as error:
            raise MissingExtra(
                "kornia", "kornia", "the differentiable JPEG that BPDA puts in the codec's place"
            ) from error
        channels, height, width = _check(x).shape[1:]
        whole = F.pad(x, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate").expand(-1, 3, -1, -1)
        quality = torch.full((1,), float(self.quality), dtype=x.dtype, device=x.device)
        coded: Tensor = jpeg_codec_differentiable(whole, quality)[..., :height, :width]
        return coded if channels == 3 else coded.mean(1, keepdim=True)


@register("jpeg")
@dataclass(frozen=True)
class JPEG(InputDefence):
    """decode(encode(round(255 x), quality)) / 255 with libjpeg: the bytes a saved file would decode to.

    Images (batch, 1 or 3, height, width) in [0,1]; rounded to 8 bits first, chroma at half resolution; equal to
    Pillow's codec bit for bit, hence computed on the CPU whatever the device of x. Its derivative is taken as zero, as
    that of any rounding; BPDA differentiates `DifferentiableJPEG`. Raises ContractError for a quality outside 1 ... 100
    or another number of channels.
    """

    reference = "Dziugaite, Ghahramani, Roy 2016, arXiv:1608.00853"
    quality: int = 75

    def __post_init__(self) -> None:
        check_int("quality", self.quality, 1, 100)

    def apply(self, x: Tensor) -> Tensor:
        # Imported here because torchvision costs seconds that no other defence needs.
        from torchvision.io import decode_jpeg, encode_jpeg

        levels = (_check(x).detach() * 255).round().clamp(0, 255).to(torch.uint8).cpu()
        decoded = torch.stack(decode_jpeg(encode_jpeg(list(levels), quality=self.quality)))
        # The second term is zero: it keeps the codec's zero derivative, and any NaN, visible to autograd.
        return decoded.to(x.device, x.dtype) / 255 + 0 * x

    @property
    def card(self) -> Card:
        return Card(self.registered, backward={"transform": DifferentiableJPEG(self.quality)}, reference=self.reference)


def _check(x: Tensor) -> Tensor:
    if check_image(x, "JPEG").shape[1] not in (1, 3):
        raise ContractError(f"expected images with 1 or 3 channels for JPEG, got {x.shape[1]}")
    return x
