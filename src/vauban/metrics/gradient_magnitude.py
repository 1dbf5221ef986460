"""Gradient magnitude of every pixel, as an image."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError
from vauban.metrics.base import check_tensors


@named_arguments
def gradient_magnitude(g: Tensor) -> Tensor:
    """The L2 norm over channels at every pixel, scaled to [0,1] in each image: (m - min m) / (max m - min m).

    Folz, Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994, section 3.2, which does not print the scaling.

    Args:
        g: Image gradients `(batch, channel, height, width)`.

    Returns:
        `(batch, 1, height, width)` float64; 0 where the magnitude is the same everywhere.

    Raises:
        ContractError: What is no batch of images.
    """
    check_tensors(g)
    if g.dim() != 4:
        raise ContractError(f"expected gradients (batch, channel, height, width), got shape {tuple(g.shape)}")
    m = g.double().norm(dim=1, keepdim=True)
    least, most = m.amin((2, 3), keepdim=True), m.amax((2, 3), keepdim=True)
    return torch.where(most > least, (m - least) / (most - least), 0)
