"""Best pair of features for a saliency map, without a features x features matrix."""

from __future__ import annotations

import torch
from torch import Tensor

PAIRS = 1 << 22  # values of pairs held at a time: 32 MiB in float64


def best_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The pair p != q of features that maximises (a_p + a_q)(b_p + b_q) with both sums positive, exactly.

    Only features with at most one other that is no smaller in both a and b are paired with each other. Proof: if two
    others are no smaller than q, one of them is not p; in the place of q it leaves both sums as large or larger, hence
    positive, and so their product. Rounded addition and multiplication are monotone, so this also holds of the values
    as computed. Where b is a itself, the pair is that of the two largest.

    Args:
        a, b: `(batch, features)`; minus infinity or NaN for a feature that may not be used.

    Returns:
        The indices `(batch, 2)`, and the values `(batch,)` in float64: zero where no pair has two positive sums.
    """
    if b is a:
        return _two_largest(a)
    usable = a.isfinite() & b.isfinite()
    a, b = a.where(usable, -torch.inf), b.where(usable, -torch.inf)
    a, order = a.sort(stable=True, dim=1, descending=True)
    b = b.gather(1, order)
    nothing = torch.full_like(b[:, :1], -torch.inf)
    first = torch.cat([nothing, b.cummax(1).values[:, :-1]], 1)  # the largest b among the features before
    second = torch.cat([nothing, torch.minimum(b, first).cummax(1).values[:, :-1]], 1)
    kept = b > second
    count = max(1, int(kept.sum(1).max()))
    front = kept.to(torch.uint8).sort(stable=True, dim=1, descending=True).indices[:, :count]
    kept, order = kept.gather(1, front), order.gather(1, front)
    a, b = (v.gather(1, front).double().where(kept, -torch.inf) for v in (a, b))
    i, j, value = _brute_force(a, b)
    return torch.cat([order.gather(1, i[:, None]), order.gather(1, j[:, None])], 1), value


def _two_largest(a: Tensor) -> tuple[Tensor, Tensor]:
    """The best pair where both sums are one: the larger the sum, the larger its square."""
    a = a.where(a.isfinite(), -torch.inf)
    top, pair = (a if a.shape[1] > 1 else torch.cat([a, torch.full_like(a, -torch.inf)], 1)).topk(2, dim=1)
    total = top.double().sum(1)
    return pair, torch.where(total > 0, total.square(), 0)


def _brute_force(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The best pair i, j of the candidates `(batch, m)` and its value, each `(batch,)`; all pairs, a block at a time."""
    batch, m = a.shape
    here = torch.arange(m, device=a.device)
    best = torch.zeros(batch, dtype=a.dtype, device=a.device)
    i, j = torch.zeros(batch, dtype=torch.int64, device=a.device), torch.zeros_like(best, dtype=torch.int64)
    for block in torch.split(here, max(1, PAIRS // (batch * m))):
        gain, cost = a[:, block, None] + a[:, None], b[:, block, None] + b[:, None]
        valid = (gain > 0) & (cost > 0) & (block[:, None] != here)
        value, at = torch.where(valid, gain * cost, 0).flatten(1).max(1)
        better = value > best
        best = torch.where(better, value, best)
        i = torch.where(better, block[at.div(m, rounding_mode="floor")], i)
        j = torch.where(better, at % m, j)
    return i, j, best
