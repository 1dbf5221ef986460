"""Resampling of every image of a batch through a frame of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resampled(x: Tensor, origin: Tensor, scale: Tensor, size: tuple[int, int]) -> Tensor:
    """Images read bilinearly at places of their own; beyond the frame, and the image, the last pixel is repeated.

    Pixel i of a row is read at scale (i + 1/2) + origin - 1/2, in pixels of x: what `torch.nn.functional.interpolate`
    gives for the part of the image in the frame, without antialiasing.

    Args:
        x: Images `(batch, channel, height, width)`.
        origin: Where the frame begins, in pixels of x from the upper left corner, (row, column): `(batch, 2)`.
        scale: Pixels of x to one of the result, in rows and in columns: `(batch, 2)`.
        size: Height and width of the result.
    """
    axes = []
    for axis, length in enumerate(size):
        middle = torch.arange(length, dtype=x.dtype, device=x.device) + 0.5
        begin, step = origin[:, axis, None].to(x), scale[:, axis, None].to(x)
        at = (step * middle + begin).clamp(begin + 0.5, begin + step * length - 0.5)
        axes.append(at * (2 / x.shape[2 + axis]) - 1)
    down, across = axes
    grid = torch.stack([across[:, None, :].expand(-1, size[0], -1), down[:, :, None].expand(-1, -1, size[1])], dim=-1)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def drawn(low: Tensor, high: Tensor) -> Tensor:
    """Whole numbers, uniform on low ... high, from torch's global generator; float, of the shape of both."""
    spread = high - low + 1
    return low + (torch.rand_like(low) * spread).floor().minimum(spread - 1)
