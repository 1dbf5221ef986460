"""Normalised mutual information of two images, by a histogram of their pixels."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.parameters import Range
from vauban.metrics import registry
from vauban.metrics.base import pair

Bins = Annotated[int, Range(2, 256)]
"""Equal intervals of [0,1]."""
BINS = 32


@registry.register("nmi", unit="1", direction="higher", aggregate="mean", reads="pair")
def nmi(x0: Tensor, x: Tensor, *, bins: Bins = BINS) -> Tensor:
    """Normalised mutual information I(X; Y) / sqrt(H(X) H(Y)) of components at one place, `(batch,)` float64 in [0, 1].

    X and Y: components of original and image, each in one of `bins` equal intervals of [0,1]; I and H follow from the
    joint histogram over all places and channels (Strehl, Ghosh 2002, JMLR 3, 583-617, eq. 3). 1 where each value of one
    image says the value of the other, NaN where one of them has a single value. An estimate from above: of n independent
    components it finds about (bins - 1)^2 / (2 n) nats, so that values compare at one image size and one number of bins.

    Args:
        x0: Originals `(batch, ...)` in [0,1].
        x: Images of the same shape.
        bins: Intervals, 2 to 256.

    Raises:
        ContractError: The shapes differ, or bins outside its range.
    """
    if not 2 <= bins <= 256:
        raise ContractError(f"expected 2 to 256 bins for nmi, got {bins}")
    first, second = ((image.flatten(1) * bins).long().clamp(0, bins - 1) for image in pair(x0, x))
    counts = torch.zeros(len(x0), bins * bins, dtype=torch.float64, device=x0.device)
    counts.scatter_add_(1, first * bins + second, torch.ones_like(first, dtype=torch.float64))
    joint = (counts / first.shape[1]).view(-1, bins, bins)
    h_first, h_second, h_joint = _entropy(joint.sum(2)), _entropy(joint.sum(1)), _entropy(joint.flatten(1))
    size = (h_first * h_second).sqrt()
    shared = (h_first + h_second - h_joint).clamp_min(0)
    return torch.where(size > 0, (shared / size).clamp_max(1), torch.nan)


def _entropy(p: Tensor) -> Tensor:
    """-sum p log p of each row, `(batch,)`."""
    entropy: Tensor = -torch.special.xlogy(p, p).sum(1)
    return entropy
