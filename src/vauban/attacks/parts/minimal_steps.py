"""Schedule, state and gradient mask shared by the minimal attacks."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from vauban.core.parameters import Range
from vauban.engine.domain import Domain

Rate = Annotated[float, Range(0, 1, open_high=True)]
"""Share by which a step changes a radius."""
StateKind = Literal["free", "quantised"]
"""Whether an attack remembers its iterate as it computed it, or rounded to the pixel grid like the image that is shown."""


def cosine(t: int, steps: int, first: float, last: float) -> float:
    """last + (first - last) (1 + cos(pi t / steps)) / 2 at step t = 0, ..., steps - 1."""
    return last + (first - last) * (1 + math.cos(math.pi * t / steps)) / 2


def movable(x: Tensor, g: Tensor) -> Tensor:
    """The gradient g on the components of x that can follow it: zero where a pixel at 0 or 1 would leave [0,1]."""
    return torch.where(((x <= 0) & (g < 0)) | ((x >= 1) & (g > 0)), 0, g)


def remembered(domain: Domain, state: StateKind, x: Tensor) -> Tensor:
    """The iterate x as the next step finds it, `(batch, ...)`: masked, in the ball and [0,1]; rounded if "quantised"."""
    return domain.project(x) if state == "free" else domain.quantise(x)
