"""SegNet (Badrinarayanan, Kendall, Cipolla 2017, arXiv:1511.00561): an auto-encoder that unpools where it has pooled."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.errors import ContractError

Form = Literal["shallow", "segnet"]
"""Widths of the encoder: three blocks of one convolution for small images, or the 13 convolutions of VGG-16."""
WIDTHS: dict[Form, tuple[tuple[int, ...], ...]] = {
    "shallow": ((32,), (64,), (128,)),
    "segnet": ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
}
POOL = 2  # side and stride of a window that is pooled

Pooled = tuple[Tensor, list[Tensor], list[torch.Size]]
"""The code, and of each block where its maxima stood and the shape before pooling, outermost first."""


def convolution(inside: int, outside: int) -> list[nn.Module]:
    """3x3 convolution that keeps the size, batch normalisation, ReLU."""
    return [nn.Conv2d(inside, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]


class Encoder(nn.Module):
    """Blocks of convolutions, each closed by 2x2 maximum pooling whose places are kept.

    Attributes:
        blocks: One after the other.
    """

    def __init__(self, channels: int, widths: Sequence[Sequence[int]]) -> None:
        super().__init__()
        outer = [channels, *(block[-1] for block in widths)]
        self.blocks = nn.ModuleList(
            nn.Sequential(*(layer for pair in pairwise((first, *block)) for layer in convolution(*pair)))
            for first, block in zip(outer, widths, strict=False)
        )

    def forward(self, x: Tensor) -> Pooled:
        places, shapes = [], []
        for block in self.blocks:
            x = block(x)
            shapes.append(x.shape)
            x, place = F.max_pool2d(x, POOL, return_indices=True)
            places.append(place)
        return x, places, shapes


class Decoder(nn.Module):
    """The encoder mirrored: values go back to where the maxima stood, then convolutions of the mirrored widths.

    The last convolution has neither batch normalisation nor ReLU.

    Attributes:
        blocks: One after the other, the innermost first.
    """

    def __init__(self, channels: int, widths: Sequence[Sequence[int]]) -> None:
        super().__init__()
        outer = [channels, *(block[-1] for block in widths)]
        blocks = []
        for before, block in zip(reversed(outer[:-1]), reversed(widths), strict=True):
            layers = [layer for pair in pairwise((*reversed(block), before)) for layer in convolution(*pair)]
            blocks.append(nn.Sequential(*layers))
        blocks[-1] = blocks[-1][:-2]
        self.blocks = nn.ModuleList(blocks)

    def forward(self, code: Tensor, places: Sequence[Tensor], shapes: Sequence[torch.Size]) -> Tensor:
        for block, place, shape in zip(self.blocks, reversed(places), reversed(shapes), strict=True):
            code = block(F.max_unpool2d(code, place, [POOL, POOL], output_size=shape))
        return code


class SegNet(nn.Module):
    """decoder(encoder(x)), images `(batch, channels, height, width)` of [0,1] in, of the same shape out, unbounded.

    Attributes:
        encoder: Its first half.
        decoder: Its second half.
        form: Of its widths.
        channels: Of an image.
    """

    def __init__(self, channels: int = 3, form: Form = "shallow") -> None:
        super().__init__()
        self.form, self.channels = form, channels
        self.encoder = Encoder(channels, WIDTHS[form])
        self.decoder = Decoder(channels, WIDTHS[form])

    @property
    def least(self) -> int:
        """Side of the smallest image that every block can pool."""
        return int(POOL ** len(self.encoder.blocks))

    def check(self, shape: Sequence[int]) -> None:
        """Raises ContractError unless images of a shape `(channels, height, width)` can go through."""
        if len(shape) != 3 or shape[0] != self.channels or min(shape[1:]) < self.least:
            raise ContractError(
                f"expected images of {self.channels} channels and at least {self.least}x{self.least} pixels for this "
                f"auto-encoder, got {tuple(shape)}; the form {self.form!r} halves {len(self.encoder.blocks)} times"
            )

    def forward(self, x: Tensor) -> Tensor:
        own = next(self.parameters()).dtype
        out: Tensor = self.decoder(*self.encoder(x.to(own)))
        return out.to(x.dtype)
