"""Roughness: how much a perturbation differs between pixels where the image does not."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.laplacian.smoothing import DIGITS, PHOTOGRAPHS, Kernel
from vauban.metrics import registry
from vauban.metrics.base import pair


@registry.register("roughness", unit="1", direction="lower", aggregate="mean", reads="pair")
def roughness(x0: Tensor, x: Tensor, kernel: Kernel | None = None) -> Tensor:
    """Roughness of the perturbation r = x - x0 over the graph of x0, `(batch,)` float64 in [0, 2].

    tr(r^T (I - D^-1/2 W D^-1/2) r) / ||r||_2^2 with the weights W of the graph and their row sums D, and 0 where r is 0:
    the pairwise penalty
    (4.10) per unit of squared distance, so that perturbations of any size compare. It is 0 for one as smooth as the image
    allows, 1 on average for white noise, above 1 where like neighbours change in opposite ways. A pixel unlike all its
    neighbours counts 1. H. Zhang's thesis (Deep learning in adversarial context, Rennes 2021), chapter 4, (4.1)-(4.3); the
    quotient is ours.

    Args:
        x0: Originals `(batch, channel, height, width)` in [0,1].
        x: Images of the same shape.
        kernel: The graph W of the image x0; None takes the source's for digits where there is one channel and for
            photographs where there are more.

    Raises:
        ContractError: The shapes differ or are not those of images.
    """
    x0, x = pair(x0, x)
    if x0.dim() != 4:
        raise ContractError(f"expected images (batch, channel, height, width), got shape {tuple(x0.shape)}")
    graph = (DIGITS if x0.shape[1] == 1 else PHOTOGRAPHS) if kernel is None else kernel
    change = x - x0
    largest = change.abs().amax((1, 2, 3), keepdim=True)
    change = change / largest.clamp_min(torch.finfo(change.dtype).tiny)  # squares of tiny changes vanish
    size = change.square().flatten(1).sum(1)
    penalty = (change * graph.weights(x0).product(change)).flatten(1).sum(1)
    return torch.where(size > 0, penalty / size, 0)
