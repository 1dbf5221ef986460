"""Decision-based attacks: questions by label only, each asked of the rows it concerns, within the query budget."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.norms import L2, Norm
from vauban.core.tensors import flat, like, where
from vauban.engine import Oracle


def room(oracle: Oracle) -> Tensor:
    """Queries that the threat's budget leaves to each sample, `(batch,)`."""
    budget = oracle.threat.budget
    return (
        torch.full_like(oracle.forwards, torch.iinfo(torch.int64).max) if budget is None else budget - oracle.forwards
    )


def reached(oracle: Oracle, x: Tensor, rows: Tensor) -> Tensor:
    """Whether the goal is reached in the given rows, asked of no others, `(batch,)`."""
    index = rows.nonzero().squeeze(1)
    if not len(index):
        return torch.zeros_like(rows)
    return torch.zeros_like(rows).index_copy(0, index, oracle.rows(index).reached(x[index]))


def same(a: Tensor, b: Tensor) -> Tensor:
    """Which images are equal in every pixel, `(batch,)`."""
    return flat(a == b).all(1)


def boundary(oracle: Oracle, norm: Norm, x: Tensor, rows: Tensor) -> Tensor:
    """Bisection from adversarial images toward x0, to adversarial images at the boundary.

    On the images as the oracle rounds them: two blends that round alike are asked about once. Ends where the interval of
    the blend is at most theta = d^(-3/2) for l2, d^(-2) for linf (arXiv:1904.02144, algorithm 1), d the number of pixels,
    or nothing is left to ask with. theta is never below the resolution of the image's dtype.

    Args:
        oracle: Access to the network.
        norm: Norm of the attack.
        x: Images `(batch, ...)`, adversarial in `rows`.
        rows: Where to look, `(batch,)`.

    Returns:
        Images `(batch, ...)` as the network sees them; x itself elsewhere.
    """
    d = x[0].numel()
    theta = max(d**-1.5 if norm is L2 else float(d) ** -2, 4 * torch.finfo(x.dtype).eps)
    near, far, size = oracle.domain.quantise(oracle.domain.x0), x, norm.size(x - oracle.domain.x0)
    low, high = torch.zeros_like(size), torch.ones_like(size)
    while bool((rows := rows & (high - low > theta) & (room(oracle) > 0)).any()):
        middle = (low + high) / 2
        point = oracle.domain.quantise(blend(norm, oracle.domain.x0, x, size, middle))
        known = same(point, far)
        hit = known | reached(oracle, point, rows & ~known & ~same(point, near))
        high, far = torch.where(rows & hit, middle, high), where(rows & hit, point, far)
        low, near = torch.where(rows & ~hit, middle, low), where(rows & ~hit, point, near)
    return far


def blend(norm: Norm, x0: Tensor, x: Tensor, size: Tensor, share: Tensor) -> Tensor:
    """The point of the ball of radius share |x - x0| nearest to x, in the norm of the attack.

    Args:
        norm: Norm of the attack.
        x0, x: Images `(batch, ...)`.
        size: |x - x0|, `(batch,)`.
        share: From 0 (x0) to 1 (x), `(batch,)`.
    """
    if norm is L2:
        return torch.lerp(x0, x, like(share, x))
    return x0 + norm.project(x - x0, share * size)
