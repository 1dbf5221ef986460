"""The registry of metrics and the check they share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.registry import Registry

Metric = Callable[[Tensor, Tensor], Tensor]
"""(original x0, image x), both `(batch, ...)` in [0,1] -> float64 `(batch,)`."""

registry: Registry[Metric] = Registry("metric", "vauban.metrics")


def pair(x0: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64, after checking that they match."""
    if x0.shape != x.shape or x.dim() < 2:
        raise ContractError(
            f"expected two batches of the same shape (batch, ...), got {tuple(x0.shape)} and {tuple(x.shape)}"
        )
    return x0.double(), x.double()
