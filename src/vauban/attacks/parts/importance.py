"""Importance sampling of coordinates: which components of an image to ask about next, from where it has changed."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.tensors import flat
from vauban.engine import Oracle


def importance(oracle: Oracle, x: Tensor, region: int, uniform: float) -> Tensor:
    """Probability of each coordinate of being drawn, `(batch, features)`: large where much has changed."""
    change = (x - oracle.domain.x0).abs()
    if x.dim() == 4:
        height, width = x.shape[2:]
        pooled = F.max_pool2d(change, region, ceil_mode=True)
        change = pooled.repeat_interleave(region, 2)[:, :, :height].repeat_interleave(region, 3)[..., :width]
    free = torch.ones_like(flat(x)) if oracle.domain.mask is None else flat(oracle.domain.mask).to(x.dtype)
    weight = flat(change) * free
    total = weight.sum(1, keepdim=True)
    even = free / free.sum(1, keepdim=True).clamp_min(1)
    mixed = (1 - uniform) * weight / total.clamp_min(torch.finfo(x.dtype).tiny) + uniform * even
    return torch.where(total > 0, mixed, even)


def drawn(oracle: Oracle, probability: Tensor, count: int, t: int) -> Tensor:
    """Flat positions of `count` coordinates, drawn without repetition, `(batch, count)`.

    The largest log p + g with g of the Gumbel distribution: one after the other, each in proportion to its p.
    """
    u = oracle.rng.uniform("coordinates", (probability.shape[1],), t=t, dtype=torch.float64)
    gumbel = -torch.log(-torch.log(u.clamp_min(math.ldexp(1, -53))))
    return (probability.double().log() + gumbel).topk(count, 1).indices
