"""Secret permutation inside blocks, or of blocks (AprilPyone and Kiya 2020, arXiv:2010.00801)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.core.parameters import Count
from vauban.defences.keyed.base import KeyedDefence, Unknown, register, sides


@register("block-permutation")
@dataclass(frozen=True)
class BlockPermutation(KeyedDefence):
    """Images in blocks of block x block pixels: one secret order of the components of every block, or of the blocks.

    Attributes:
        block: Side of a block, which divides that of the image.
        within: Whether the components of a block change places, the same way in every block (block-wise pixel shuffling of
            the paper); else the blocks themselves do.
    """

    reference: ClassVar[str] = "AprilPyone, Kiya 2020, arXiv:2010.00801"
    block: Count = 4
    within: bool = True

    def made(self, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        _, n = self.unknowns(shape)
        return (self.key.permutation(n, f"{self.use}|{n}"),)

    def transformed(self, x: Tensor, *made: Tensor) -> Tensor:
        (order,) = made
        tiles = blocks_of(x, self.block)
        return images_of(tiles.index_select(2 if self.within else 1, order), x, self.block)

    def unknowns(self, shape: tuple[int, ...]) -> tuple[Unknown, int]:
        height, width = sides(shape, self.block, self.registered)
        return "order", shape[0] * self.block**2 if self.within else height * width // self.block**2

    def softly(self, x: Tensor, guess: Tensor) -> Tensor:
        tiles = blocks_of(x, self.block)
        mixed = tiles @ guess.T if self.within else guess @ tiles
        return images_of(mixed, x, self.block)

    def marked(self, x: Tensor, marks: Tensor) -> Tensor:
        tiles = blocks_of(x, self.block)
        added = (
            marks[:, None, :].expand(-1, tiles.shape[1], -1)
            if self.within
            else marks[:, :, None].expand(-1, -1, tiles.shape[2])
        )
        return x + images_of(added.contiguous(), x.expand(len(marks), *x.shape[1:]), self.block)

    def inverse(self, x: Tensor) -> Tensor:
        (order,) = self.made(tuple(x.shape[1:]))
        return self.transformed(x, torch.argsort(order).to(x.device))


def blocks_of(x: Tensor, block: int) -> Tensor:
    """Images as `(batch, blocks, components of a block)`, blocks row by row."""
    n, channels, height, width = x.shape
    tiles = x.reshape(n, channels, height // block, block, width // block, block)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, channels * block * block)


def images_of(tiles: Tensor, like: Tensor, block: int) -> Tensor:
    """The images of the shape of `like` that blocks `(batch, blocks, components)` are of."""
    n, channels, height, width = like.shape
    tiles = tiles.reshape(n, height // block, width // block, channels, block, block)
    return tiles.permute(0, 3, 1, 4, 2, 5).reshape(like.shape)
