"""Two-dimensional toy sets: vectors `(batch, 2)` in [0,1], continuous (never rounded)."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from vauban.core.parameters import NonNegative, Range
from vauban.core.rng import Stream, fold
from vauban.data import registry
from vauban.data.dataset import Dataset, InMemory
from vauban.data.location import DataLocation, split_of

SPLITS = ("train", "test")
BUDGETS = {"linf": 0.1, "l2": 0.1, "l1": 0.1}
Points = Annotated[int, Range(2)]
"""A whole number of points, one of each class or more."""
FACTS: dict[str, Any] = {"splits": SPLITS, "classes": 2, "levels": None}


def _draw(name: str, split: str, n: int, noise: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random numbers of n points; the splits draw different ones.

    Returns:
        Angles in [0, pi) `(n,)`, labels `(n,)`, which alternate, and noise `(n, 2)`.
    """
    rng = Stream(fold(seed, name, split), torch.arange(n))
    return math.pi * rng.uniform("angle", ()), torch.arange(n) % 2, noise * rng.normal("noise", (2,))


def _finish(name: str, split: str, points: Tensor, y: Tensor) -> Dataset:
    """The data set of points `(n, 2)`, clipped to the unit square."""
    return Dataset(name, split, InMemory(points.clamp(0, 1)), y, ("outer", "inner"), levels=None, budgets=BUDGETS)


@registry.register("moons", **FACTS)
def moons(split: str | None, place: DataLocation, n: Points = 1000, noise: NonNegative = 0.1, seed: int = 0) -> Dataset:
    """Two interleaved half circles of radius 1 with Gaussian noise, scaled by 1/4 into the unit square."""
    split = split_of("moons", split, SPLITS, "test")
    angle, y, jitter = _draw("moons", split, n, noise, seed)
    outer = torch.stack([angle.cos(), angle.sin()], 1)
    inner = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    points = torch.where(y[:, None] == 0, outer, inner) + jitter
    return _finish("moons", split, 0.5 + (points - torch.tensor([0.5, 0.25])) / 4, y)


@registry.register("circles", **FACTS)
def circles(
    split: str | None, place: DataLocation, n: Points = 1000, noise: NonNegative = 0.1, seed: int = 0
) -> Dataset:
    """Two concentric circles of radius 1 and 1/2 with Gaussian noise, scaled by 1/3 into the unit square."""
    split = split_of("circles", split, SPLITS, "test")
    angle, y, jitter = _draw("circles", split, n, noise, seed)
    radius = torch.where(y == 0, 1.0, 0.5)[:, None]
    points = radius * torch.stack([(2 * angle).cos(), (2 * angle).sin()], 1) + jitter
    return _finish("circles", split, 0.5 + points / 3, y)
