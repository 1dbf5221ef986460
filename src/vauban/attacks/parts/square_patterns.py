"""Windows and patterns of the Square Attack (arXiv:1912.00049, section 3)."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.engine import Oracle


def frame(x: Tensor) -> tuple[int, int, int]:
    """(channels, height, width); vectors are one row. Raises ContractError for other shapes."""
    if x.dim() == 2:
        return 1, 1, x.shape[1]
    if x.dim() == 4:
        return x.shape[1], x.shape[2], x.shape[3]
    raise ContractError(
        f"expected images (batch, channel, height, width) or vectors for this attack, got {tuple(x.shape)}"
    )


def flat_unit(v: Tensor) -> Tensor:
    """v over its L2 norm along the last axis; zero stays zero."""
    size: Tensor = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return v / size.clamp_min(torch.finfo(v.dtype).tiny)


def pick(u: Tensor, high: int | Tensor) -> Tensor:
    """Integers in [0, high) from uniform numbers `(...)`."""
    return (u * high).long()


@lru_cache(maxsize=64)
def block(channels: int, height: int, width: int, h: int, w: int, device: torch.device) -> Tensor:
    """The flat positions of an h x w rectangle at the top left of every channel, `(channels, h w)`."""
    rows, columns = (torch.arange(n, device=device) for n in (h, w))
    plane = (rows[:, None] * width + columns).flatten()
    return torch.arange(channels, device=device)[:, None] * (height * width) + plane


def signs(u: Tensor, x: Tensor) -> Tensor:
    """-1 or 1 from uniform numbers, in the dtype of x."""
    return torch.where(u < 0.5, -1, 1).to(x.dtype)


def window(u: Tensor, x: Tensor, side: int) -> Tensor:
    """The flat positions of a square for each pair of uniform numbers u, `(batch, channel, side * side)`."""
    channels, height, width = frame(x)
    offsets = torch.arange(side, device=x.device)
    rows = pick(u[:, 0], height - side + 1)[:, None] + offsets
    columns = pick(u[:, 1], width - side + 1)[:, None] + offsets
    index = rows[:, :, None] * width + columns[:, None, :]
    return index.flatten(1)[:, None].expand(-1, channels, -1)


@lru_cache(maxsize=64)
def humps(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Two opposite pyramids, one above the other, as a `(side, side)` pattern of unit L2 norm (equation 2)."""

    def pyramid(height: int) -> Tensor:
        rows = (torch.arange(height, device=device) - height // 2).abs()
        columns = (torch.arange(side, device=device) - side // 2).abs()
        ring = torch.maximum(rows[:, None], columns[None, :])
        steps = torch.arange(1, side // 2 + 2, device=device, dtype=dtype).square().reciprocal()
        return flat_unit(steps.flip(0).cumsum(0).flip(0)[ring].flatten()).view(height, side)

    top = side // 2
    return flat_unit(torch.cat([pyramid(top), -pyramid(side - top)]).flatten()).view(side, side)


def tiles(oracle: Oracle, channels: int, height: int, width: int) -> Tensor:
    """The L2 start: a centred grid, five tiles along the shorter side, each a pair of humps of random sign and turn."""
    side = max(min(height, width) // 5, 1)
    down, across = height // side, width // side
    x = oracle.domain.x0
    turned = oracle.rng.signs("turns", (1, down, across, 1, 1)) > 0
    sign = oracle.rng.signs("tiles", (channels, down, across, 1, 1), dtype=x.dtype)
    shape = humps(side, x.dtype, x.device)
    grid = (
        (torch.where(turned, shape.T, shape) * sign).transpose(3, 4).reshape(-1, channels, down * side, across * side)
    )
    top, left = (height - down * side) // 2, (width - across * side) // 2
    return F.pad(grid, (left, width - across * side - left, top, height - down * side - top))
