"""Secret substitution of pixel values (AprilPyone and Kiya 2020, arXiv:2010.00801)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vauban.core.cards import Backward, Card
from vauban.defences.keyed.base import KeyedDefence, Unknown, register

LEVELS = 256


@register("pixel-substitution")
@dataclass(frozen=True)
class PixelSubstitution(KeyedDefence):
    """Components at secret places, about half of them, get another value: 1 - x, or that of a secret table of 256 levels.

    Images or vectors. "inverted" is the negative/positive transformation of the paper, linear in x; "table" stands where it
    encrypts values with a format-preserving cipher: x is rounded to 256 levels and looked up in one secret bijection.

    Attributes:
        values: "inverted" or "table".
    """

    reference: ClassVar[str] = "AprilPyone, Kiya 2020, arXiv:2010.00801"
    values: Literal["inverted", "table"] = "inverted"

    @property
    def card(self) -> Card:
        """Of a table, the identity as its backward rule: it has no slope of use."""
        backward: dict[str, Backward] = {self.operation: None} if self.values == "table" else {}
        return replace(super().card, backward=backward)

    def made(self, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        n = prod(shape)
        places = self.key.signs(n, f"{self.use}|{n}").view(shape) > 0
        table = self.key.permutation(LEVELS, f"{self.use}|values").float() / (LEVELS - 1)
        return places, table

    def transformed(self, x: Tensor, *made: Tensor) -> Tensor:
        places, table = made
        if self.values == "inverted":
            return torch.where(places, 1 - x, x)
        level = (x.detach() * (LEVELS - 1)).round().long().clamp(0, LEVELS - 1)
        return torch.where(places, table.to(x.dtype)[level], x)

    def unknowns(self, shape: tuple[int, ...]) -> tuple[Unknown, int]:
        return ("signs", prod(shape)) if self.values == "inverted" else super().unknowns(shape)

    def softly(self, x: Tensor, guess: Tensor) -> Tensor:
        share = (1 + guess.view(x.shape[1:])) / 2
        return x + share * (1 - 2 * x)

    def inverse(self, x: Tensor) -> Tensor:
        places, table = (part.to(x.device) for part in self.made(tuple(x.shape[1:])))
        if self.values == "inverted":
            return self.transformed(x, places, table)
        level = (x * (LEVELS - 1)).round().long().clamp(0, LEVELS - 1)
        back = torch.argsort((table * (LEVELS - 1)).round()).to(x.dtype) / (LEVELS - 1)
        return torch.where(places, back[level], x)
