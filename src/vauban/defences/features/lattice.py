"""E8 lattice: the nearest of its points. Conway, Sloane, Fast quantizing and decoding algorithms for lattice quantizers,
1982, IEEE Transactions on Information Theory 28(2)."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.errors import ContractError

DIMENSIONS = 8


def nearest_in_e8(x: Tensor) -> Tensor:
    """The point of E8 nearest to each vector, `(..., 8)`; of two equally near ones that of D8.

    E8 is D8 joined with D8 + 1/2, and D8 the whole vectors with an even sum. In each half the nearest whole vector
    counts, or, where its sum is odd, the one that rounds the component with the largest error the other way.

    Raises:
        ContractError: Vectors of another length.
    """
    if x.shape[-1] != DIMENSIONS:
        raise ContractError(f"expected vectors of 8 components for the lattice E8, got {x.shape[-1]}")
    whole, half = _nearest_in_d8(x), _nearest_in_d8(x - 0.5) + 0.5
    nearer = (x - half).square().sum(-1, keepdim=True) < (x - whole).square().sum(-1, keepdim=True)
    return torch.where(nearer, half, whole)


def _nearest_in_d8(x: Tensor) -> Tensor:
    """The nearest whole vector with an even sum."""
    rounded = x.round()
    error = x - rounded
    worst = error.abs().argmax(-1, keepdim=True)
    other = torch.where(error.gather(-1, worst) >= 0, 1.0, -1.0).to(x.dtype)
    flipped = rounded.scatter_add(-1, worst, other)
    odd = rounded.sum(-1, keepdim=True).remainder(2) != 0
    return torch.where(odd, flipped, rounded)
