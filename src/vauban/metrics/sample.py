"""Columns of distances that every result row carries."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.arguments import named_arguments
from vauban.core.norms import L0, L1, L2, Linf
from vauban.metrics import registry
from vauban.metrics.base import pair
from vauban.metrics.perceptual import psnr, ssim

COLUMNS = ("l0", "l1", "l2", "linf", "ssim", "psnr_db")


@registry.register("l0", unit="components", direction="lower", aggregate="median", reads="pair")
def l0(x0: Tensor, x: Tensor) -> Tensor:
    """Number of components that differ, counted over pixels and channels, `(batch,)`."""
    x0, x = pair(x0, x)
    return L0.size(x - x0)


@registry.register("l1", unit="pixel units", direction="lower", aggregate="median", reads="pair")
def l1(x0: Tensor, x: Tensor) -> Tensor:
    """Sum of absolute differences, pixel units of [0,1], `(batch,)`."""
    x0, x = pair(x0, x)
    return L1.size(x - x0)


@registry.register("l2", unit="pixel units", direction="lower", aggregate="median", reads="pair")
def l2(x0: Tensor, x: Tensor) -> Tensor:
    """Euclidean distance, pixel units of [0,1], `(batch,)`."""
    x0, x = pair(x0, x)
    return L2.size(x - x0)


@registry.register("linf", unit="pixel units", direction="lower", aggregate="median", reads="pair")
def linf(x0: Tensor, x: Tensor) -> Tensor:
    """Largest absolute difference, pixel units of [0,1], `(batch,)`."""
    x0, x = pair(x0, x)
    return Linf.size(x - x0)


@named_arguments
def measure(x0: Tensor, x: Tensor) -> dict[str, Tensor]:
    """All of `COLUMNS` for a batch of images.

    Args:
        x0: Originals `(batch, ...)` in [0,1].
        x: Images of the same shape.

    Returns:
        For each column its values, float64 `(batch,)` on the device of the images. SSIM and PSNR are NaN for vectors
        `(batch, features)`, where neither is defined.

    Raises:
        ContractError: The shapes differ.
    """
    columns = {"l0": l0(x0, x), "l1": l1(x0, x), "l2": l2(x0, x), "linf": linf(x0, x)}
    if x0.dim() == 4:
        return columns | {"ssim": ssim(x0, x), "psnr_db": psnr(x0, x)}
    undefined = torch.full_like(columns["l2"], torch.nan)
    return columns | {"ssim": undefined, "psnr_db": undefined.clone()}
