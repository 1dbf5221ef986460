"""Projection on a hyperplane inside the box [0,1], in closed form (Croce and Hein 2020, arXiv:1907.02044, section 2.2).

Every component can move by at most its room in the direction that helps. In L-infinity and L2 the moves are min(lambda,
cap), in units of 1 and |w|, and lambda is read off a sum over sorted caps; in L1 the largest |w| move first, as far as they
can.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.norms import L1, L2, Norm
from vauban.core.tensors import flat


def to_hyperplane(x: Tensor, w: Tensor, gap: Tensor, norm: Norm) -> Tensor:
    """Shortest d with <w, d> = gap and x + d in [0,1]; where no d reaches the gap, the one that comes nearest to it.

    Args:
        x: Points in [0,1], `(batch, ...)`.
        w: Normals of the hyperplanes, of the shape of x; a component of zero stays.
        gap: What is missing, `(batch,)`, of either sign.
        norm: In which d is shortest: L-infinity, L2 or L1.

    Returns:
        d, of the shape and type of x; computed in float64.
    """
    rows, gap = flat(w).double(), gap.double()
    rows = rows * torch.where(gap < 0, -1.0, 1.0).to(rows.dtype)[:, None]
    largest = rows.abs().amax(1, keepdim=True)
    scale = torch.where(largest > 0, largest, 1)
    rows, gap = rows / scale, gap.abs() / scale[:, 0]
    point = flat(x).double()
    room = torch.where(rows > 0, 1 - point, point) * (rows != 0)
    size = rows.abs()
    if norm is L1:
        moved = _largest_first(size, room, gap)
    elif norm is L2:
        cap = torch.where(size > 0, room / torch.where(size > 0, size, 1), 0)
        moved = size * torch.minimum(_common(size.square(), cap, gap)[:, None], cap)
    else:
        moved = torch.minimum(_common(size, room, gap)[:, None], room)
    return (rows.sign() * moved).to(x.dtype).view_as(x)


def _common(weight: Tensor, cap: Tensor, gap: Tensor) -> Tensor:
    """The lambda `(batch,)` with sum_i weight_i min(lambda, cap_i) = gap, infinite where all caps are too little.

    The sum is linear between the sorted caps: with those before the k-th at their caps, lambda = (gap - sum_{i<k} weight_i
    cap_i) / sum_{i>=k} weight_i for the first k whose cap is at least that.
    """
    cap, order = cap.sort(1)
    weight = weight.gather(1, order)
    gained = (weight * cap).cumsum(1)
    left = weight.flip(1).cumsum(1).flip(1)  # of the k-th and those after it
    at_cap = gained - weight * cap + left * cap  # the sum at lambda = cap_k
    enough = at_cap >= gap[:, None]
    k = enough.to(torch.uint8).argmax(1, keepdim=True)
    before = (gained - weight * cap).gather(1, k)[:, 0]
    rest = left.gather(1, k)[:, 0]
    exact = (gap - before).clamp_min(0) / torch.where(rest > 0, rest, 1)
    return torch.where(enough.any(1), exact, torch.inf)


def _largest_first(size: Tensor, room: Tensor, gap: Tensor) -> Tensor:
    """Moves `(batch, features)` with sum_i size_i moves_i = gap: all room of the largest sizes, a part of the next."""
    ordered, order = size.sort(dim=1, descending=True, stable=True)
    gain = ordered * room.gather(1, order)
    before = gain.cumsum(1) - gain
    part = (gap[:, None] - before).clamp_min(0) / torch.where(ordered > 0, ordered, 1)
    return torch.zeros_like(size).scatter(1, order, torch.minimum(part, room.gather(1, order)))
