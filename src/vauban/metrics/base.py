"""Type of a metric and the check they share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from vauban.core.errors import ContractError, short

Metric = Callable[[Tensor, Tensor], Tensor]
"""(original x0, image x), both `(batch, ...)` in [0,1] -> float64 `(batch,)`."""


def check_tensors(*images: object) -> None:
    """Check that batches of images are tensors. Raises ContractError."""
    for batch in images:
        if not isinstance(batch, Tensor):
            raise ContractError(
                f"expected images as a torch tensor (batch, ...), got {short(batch)}; use torch.as_tensor"
            )


def pair(x0: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Originals and images in float64.

    Args:
        x0: Originals `(batch, ...)`.
        x: Images of the same shape.

    Returns:
        Both in float64.

    Raises:
        ContractError: They are no tensors, their shapes differ, or have no axis beside the batch.
    """
    check_tensors(x0, x)
    if x0.shape != x.shape or x.dim() < 2:
        raise ContractError(
            f"expected two batches of the same shape (batch, ...), got {tuple(x0.shape)} and {tuple(x.shape)}"
        )
    return x0.double(), x.double()
