"""Decision-based attacks: questions by label only, each asked of the rows it concerns, within the query budget."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.norms import L2, Norm
from vauban.core.tensors import flat, like, where
from vauban.engine import Oracle

BISECTIONS = 21
"""Queries of `boundary` at most: the interval is then at the resolution of float32."""


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
    while bool((rows := rows & (high - low > theta) & (oracle.room > 0)).any()):
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


def check_starts(oracle: Oracle, starts: Tensor | None, owner: str) -> None:
    """Raises ContractError for starting images of another shape than the images, or a targeted goal without any."""
    if starts is None and oracle.goal.target is not None:
        raise ContractError(f"a targeted {owner} needs images of the target classes: pass starts=(n, ...)")
    if starts is not None and starts.shape[1:] != oracle.domain.x0.shape[1:]:
        shapes = tuple(starts.shape[1:]), tuple(oracle.domain.x0.shape[1:])
        raise ContractError(f"expected starting images of shape {shapes[1]}, got {shapes[0]}")


def begin(oracle: Oracle, norm: Norm, tries: int, starts: Tensor | None) -> tuple[Tensor, Tensor]:
    """An adversarial image for each sample, brought to the boundary; originals that are adversarial need none.

    Costs 1 query, one for each image that is tried, and at most `BISECTIONS`.

    Args:
        oracle: Access to the network.
        norm: Norm of the attack.
        tries: Uniform noise images that are tried.
        starts: Images `(n, ...)` that are tried in place of noise, nearest first.

    Returns:
        Images `(batch, ...)` as the network sees them, and where they are adversarial at the boundary, `(batch,)`.
    """
    x = oracle.domain.quantise(oracle.domain.x0)
    clean = reached(oracle, x, oracle.room > 0)
    alive = torch.zeros_like(clean)
    order = None if starts is None else _nearest_first(oracle, norm, starts)
    for k in range(tries if order is None else order.shape[1]):
        missing = ~clean & ~alive & (oracle.room > 0)
        if not bool(missing.any()):
            break
        if order is None:
            image = oracle.rng.uniform("noise", tuple(x.shape[1:]), draw=k, dtype=x.dtype)
        else:
            assert starts is not None
            image = starts.to(x)[order[:, k]]
        image = oracle.domain.quantise(image)
        hit = reached(oracle, image, missing)
        x, alive = where(hit, image, x), alive | hit
    return boundary(oracle, norm, x, alive), alive


def _nearest_first(oracle: Oracle, norm: Norm, starts: Tensor) -> Tensor:
    """Positions of the starting images in the order of their distance from each sample, `(batch, n)`."""
    sizes = torch.stack([norm.size(image - oracle.domain.x0) for image in starts.to(oracle.domain.x0)], 1)
    return sizes.sort(dim=1, stable=True).indices
