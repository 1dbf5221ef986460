"""Secret permutation of the pixels (Taran, Rezaeifar and Voloshynovskiy 2018, arXiv:1809.01715, Eq. 3)."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor

from vauban.defences.keyed.base import KeyedDefence, Unknown, register


@register("pixel-permutation")
@dataclass(frozen=True)
class PixelPermutation(KeyedDefence):
    """P(x, k)_i = x_{pi(i)}: the pixels of every image in the same secret order, all channels of a pixel together.

    Images or vectors. The paper draws a normal number for each pixel and sorts; here pi is uniform as well, by Fisher and
    Yates from the key's stream. The transform is linear and keeps every distance: who knows pi attacks as without it.

    Attributes:
        channels: "together", one order of the pixels; or "apart", one order of all components.
    """

    channels: Literal["together", "apart"] = "together"

    def made(self, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """The order of all components, those of a pixel together: one selection along one axis is the fastest."""
        _, n = self.unknowns(shape)
        order = self.key.permutation(n, f"{self.use}|{n}")
        planes = prod(shape) // n
        return ((torch.arange(planes)[:, None] * n + order).flatten(),)

    def _pixels(self, shape: tuple[int, ...]) -> bool:
        return self.channels == "together" and len(shape) > 1

    def transformed(self, x: Tensor, *made: Tensor) -> Tensor:
        (order,) = made
        return x.flatten(1).index_select(1, order).view(x.shape)

    def unknowns(self, shape: tuple[int, ...]) -> tuple[Unknown, int]:
        return "order", prod(shape[1:]) if self._pixels(shape) else prod(shape)

    def softly(self, x: Tensor, guess: Tensor) -> Tensor:
        flat = x.flatten(2) if self._pixels(tuple(x.shape[1:])) else x.flatten(1)
        return (flat @ guess.T).view(x.shape)

    def marked(self, x: Tensor, marks: Tensor) -> Tensor:
        shape = tuple(x.shape[1:])
        return x + marks.view(-1, *((1, *shape[1:]) if self._pixels(shape) else shape))

    def inverse(self, x: Tensor) -> Tensor:
        (order,) = self.made(tuple(x.shape[1:]))
        return self.transformed(x, torch.argsort(order).to(x.device))
