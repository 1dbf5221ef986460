"""Normalised L2 dissimilarity of an image and its original."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.norms import L2
from vauban.metrics import registry
from vauban.metrics.base import pair


@registry.register("dissimilarity", unit="1", direction="lower", aggregate="mean", reads="pair")
def dissimilarity(x0: Tensor, x: Tensor) -> Tensor:
    """Normalised L2 dissimilarity ||x - x0||_2 / ||x0||_2, `(batch,)` float64; NaN where the original is black.

    Guo, Rana, Cisse, van der Maaten 2018 (arXiv:1711.00117), section 3, who average it over the images.

    Args:
        x0: Originals `(batch, ...)` in [0,1].
        x: Images of the same shape.

    Raises:
        ContractError: The shapes differ.
    """
    x0, x = pair(x0, x)
    whole = L2.size(x0)
    return torch.where(whole > 0, L2.size(x - x0) / whole, torch.nan)
