"""Precision: the type in which an attack computes, and images of half precision taken up to it and back.

An attack moves in float32, in float64 for images in float64. Images of half precision are taken up; images on pixel levels
become those levels, which no half type holds exactly, so that the attack is the one on the same images in float32. What
is handed over is in the half type again, and whatever a network is shown has passed through it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.norms import Ball, Linf
from vauban.core.tolerance import upper_limit

HALF = frozenset({torch.float16, torch.bfloat16})


def working_type(dtype: torch.dtype) -> torch.dtype:
    """Type in which an attack on images of a type computes: float32 for half precision, else the type itself."""
    return torch.float32 if dtype in HALF else dtype


def raised(x: Tensor, levels: int | None) -> Tensor:
    """Images in the type in which an attack computes.

    Args:
        x: Images `(batch, ...)` in [0,1], on the grid of `levels` up to the tolerance of their type.
        levels: Number of pixel levels; None: continuous images.

    Returns:
        x itself, unless it is of half precision: then float32, each component the nearest level where there are levels.
    """
    if x.dtype not in HALF:
        return x
    wide = x.to(working_type(x.dtype))
    return wide if levels is None else (wide * (levels - 1)).round_().div_(levels - 1)


def rounded_to(dtype: torch.dtype, x: Tensor, x0: Tensor, ball: Ball | None) -> Tensor:
    """Images with values that a half type holds, inside the ball wherever x is.

    To the nearest value; where that leaves the ball, to the neighbour on the side of x0 - those components in
    L-infinity, else every component of the image - so that |q - x0| <= |x - x0| in each of them.

    Args:
        dtype: The half type.
        x: Images `(batch, ...)` in [0,1], float32.
        x0: The originals, which the type holds.
        ball: The bound ball around x0; None: no ball.

    Returns:
        Images of the type of x.
    """
    near = x.to(dtype)
    wide = near.to(x.dtype)
    if ball is None:
        return wide
    away = (wide - x0).abs() > (x - x0).abs()
    if ball.norm is Linf:
        away = away & ((wide - x0).abs() > upper_limit(ball.scale(x)))
    else:
        away = away & ~ball.contains(wide, x0).view(-1, *(1,) * (x.dim() - 1))
    bits = near.view(torch.int16)  # of floats >= 0: the next float has the next integer
    back = (bits + torch.where(wide > x0, -1, 1).to(bits.dtype)).view(dtype).to(x.dtype)
    return torch.where(away, back, wide)
