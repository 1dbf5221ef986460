"""Secret sign flips in a transformed domain (Taran, Rezaeifar, Holotyak and Voloshynovskiy 2019, arXiv:1904.00689)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.parameters import Share
from vauban.defences.keyed.base import KeyedDefence, Unknown, register


@register("keyed-signs")
@dataclass(frozen=True)
class KeyedSigns(KeyedDefence):
    """T^-1 (s * T(x)): the signs of the coefficients of an orthonormal transform T are flipped by a secret s in {-1, 1}.

    T acts on the rows and columns of each channel, or on a vector, and every channel has the same s. What comes out may
    leave [0,1]: it is not clipped, so that the transform stays linear, its own inverse, and keeps every distance.

    Attributes:
        domain: "dct" (type II), any size; or "hadamard", sides that are powers of two.
        share: Share of the coefficients, those of the highest frequencies, among which about half are flipped. The constant
            one is always kept.
    """

    reference: ClassVar[str] = "Taran, Rezaeifar, Holotyak, Voloshynovskiy 2019, arXiv:1904.00689"
    domain: Literal["dct", "hadamard"] = "dct"
    share: Share = 1.0

    def made(self, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        last = shape[1:] if len(shape) > 1 else shape
        bases = [basis(self.domain, side) for side in last]
        frequency = torch.zeros(last)
        for axis, side in enumerate(last):
            view = [1] * len(last)
            view[axis] = side
            frequency = frequency + (torch.arange(side) / side).view(view)
        n = frequency.numel()
        signs = self.key.signs(n, f"{self.use}|{n}").view(last).to(torch.float32)
        order = frequency.flatten().argsort(stable=True).argsort().view(last)
        kept = (order < n - round(self.share * n)) | (order == 0)
        return (torch.where(kept, 1.0, signs), *bases)

    def unknowns(self, shape: tuple[int, ...]) -> tuple[Unknown, int]:
        return "signs", prod(shape[1:]) if len(shape) > 1 else shape[0]

    def softly(self, x: Tensor, guess: Tensor) -> Tensor:
        signs, *bases = self.made(tuple(x.shape[1:]))
        return self.transformed(x, guess.view(signs.shape), *(part.to(x.device) for part in bases))

    def transformed(self, x: Tensor, *made: Tensor) -> Tensor:
        signs, *bases = (part.to(x.dtype) for part in made)
        z = x
        for axis, matrix in enumerate(reversed(bases)):
            z = (z.transpose(-1 - axis, -1) @ matrix.T).transpose(-1 - axis, -1)
        z = z * signs
        for axis, matrix in enumerate(reversed(bases)):
            z = (z.transpose(-1 - axis, -1) @ matrix).transpose(-1 - axis, -1)
        return z

    def inverse(self, x: Tensor) -> Tensor:
        return self.apply(x)


def basis(domain: str, side: int) -> Tensor:
    """Orthonormal transform of vectors of a length, `(side, side)`, a row for each coefficient. Raises ContractError."""
    if domain == "hadamard":
        if side & (side - 1):
            raise ContractError(f"expected a power of two for domain=hadamard, got {side} components; use domain=dct")
        matrix = torch.ones(1, 1)
        while len(matrix) < side:
            matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)]) / math.sqrt(2)
        return matrix
    k, i = torch.arange(side, dtype=torch.float64)[:, None], torch.arange(side, dtype=torch.float64)[None]
    matrix = torch.cos(math.pi * (i + 0.5) * k / side) * math.sqrt(2 / side)
    matrix[0] /= math.sqrt(2)
    return matrix.float()
