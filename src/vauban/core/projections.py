"""Steps and projections of the norms that sort components: L1 and L0."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.tensors import flat


def equal_steps(g: Tensor, share: float) -> Tensor:
    """Signs of the largest `share` of the components of gradients g `(batch, ...)`, together of L1 norm one."""
    rows = flat(g)
    k = max(1, round(share * rows.shape[1]))
    value, index = rows.abs().topk(k, dim=1)
    moved = (value > 0).to(g.dtype)
    equal = moved / moved.sum(1, keepdim=True).clamp_min(1)  # unit norm also where fewer than k are not zero
    return (torch.zeros_like(rows).scatter(1, index, equal) * rows.sign()).view_as(g)


def onto_l1(d: Tensor, radius: Tensor) -> Tensor:
    """Points nearest to d `(batch, ...)` (Euclidean) whose L1 norm is at most radius `(batch,)`."""
    rows = flat(d).abs()
    ordered = rows.sort(dim=1, descending=True).values
    rank = torch.arange(1, rows.shape[1] + 1, device=d.device, dtype=d.dtype)
    excess = (ordered.cumsum(1) - radius[:, None]) / rank
    last = ((ordered > excess).sum(1) - 1).clamp_min(0)
    threshold = excess.gather(1, last[:, None]).clamp_min(0)
    inside = rows.sum(1, keepdim=True) <= radius[:, None]
    shrunk = flat(d).sign() * (rows - threshold).clamp_min(0)
    size = shrunk.abs().sum(1, keepdim=True)  # running sums of 1e5 float32 terms leave the ball by 1e-5
    shrunk = shrunk * (radius[:, None] / size.clamp_min(torch.finfo(d.dtype).tiny)).clamp_max(1)
    return torch.where(inside, flat(d), shrunk).view_as(d)


def largest(d: Tensor, count: Tensor) -> Tensor:
    """d `(batch, ...)` with its floor(count) `(batch,)` components of largest magnitude, the others zero."""
    rows = flat(d)
    order = rows.abs().argsort(dim=1, descending=True, stable=True)
    rank = torch.arange(rows.shape[1], device=d.device).expand_as(rows)
    kept = torch.zeros_like(rows, dtype=torch.bool).scatter(1, order, rank + 1 <= count[:, None])
    return torch.where(kept, rows, torch.zeros_like(rows)).view_as(d)
