"""Schedule and gradient mask shared by the minimal attacks."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cosine(t: int, steps: int, first: float, last: float) -> float:
    """last + (first - last) (1 + cos(pi t / steps)) / 2 at step t = 0, ..., steps - 1."""
    return last + (first - last) * (1 + math.cos(math.pi * t / steps)) / 2


def movable(x: Tensor, g: Tensor) -> Tensor:
    """The gradient g on the components of x that can follow it: zero where a pixel at 0 or 1 would leave [0,1]."""
    return torch.where(((x <= 0) & (g < 0)) | ((x >= 1) & (g > 0)), 0, g)
