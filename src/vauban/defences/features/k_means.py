"""k-means: Lloyd's algorithm on a sample that fits in memory (Lloyd 1982, IEEE Transactions on Information Theory 28)."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.defences.features.nearest import nearest


def k_means(points: Tensor, count: int, iterations: int) -> tuple[Tensor, float]:
    """Codewords that make the mean squared distance of points to the nearest small.

    It begins at the first `count` points that differ, so the order of the points decides. A codeword that no point is
    nearest to takes the point that is farthest from its own. The iterations end early where nothing changes.

    Args:
        points: `(n, width)`.
        count: Number of codewords, K.
        iterations: At most; of K points all different, none is needed.

    Returns:
        Codewords `(K, width)` and the mean squared distance to them.

    Raises:
        ContractError: There are fewer different points than codewords.
    """
    centres = points[_first_different(points, count)].clone()
    index = nearest(points, centres)
    for _ in range(iterations if count < len(points) else 0):
        centres = _means(points, index, centres)
        before, index = index, nearest(points, centres)
        if torch.equal(index, before):
            break
    return centres, float((points - centres[index]).square().sum(1).double().mean())


def _first_different(points: Tensor, count: int) -> Tensor:
    """Positions of the first `count` points, each different from those before."""
    distinct, which = torch.unique(points, dim=0, return_inverse=True)
    if count > len(distinct):
        raise ContractError(
            f"expected at most {len(distinct)} codewords, the different patches of the sample, got {count}; fit on more "
            "images, or take a larger sample or fewer codewords"
        )
    first = torch.full((len(distinct),), len(points), dtype=torch.int64, device=points.device)
    places = torch.arange(len(points), device=points.device)
    return first.scatter_reduce(0, which, places, "amin").sort().values[:count]


def _means(points: Tensor, index: Tensor, centres: Tensor) -> Tensor:
    """The mean of the points of every codeword; an unused one takes a point that is far from its own."""
    sums = torch.zeros_like(centres, dtype=torch.float64).index_add_(0, index, points.double())
    counts = index.bincount(minlength=len(centres))
    means = (sums / counts[:, None].clamp_min(1)).to(points.dtype)
    unused = (counts == 0).nonzero().squeeze(1)
    if len(unused):
        far = (points - centres[index]).square().sum(1).topk(len(unused)).indices
        means[unused] = points[far]
    return means
