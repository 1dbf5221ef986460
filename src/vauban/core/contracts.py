"""The data contract, checked once at each public door.

Images x: float `(batch, channel, height, width)` in [0,1] (vectors `(batch, features)` where the maths allows).
Labels y: int64 `(batch,)`. Logits: float `(batch, classes)`, normalisation inside the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.core.errors import ContractError


@dataclass(frozen=True)
class Batch:
    """Images with labels, stable sample ids and the number of pixel levels (None: continuous, never rounded)."""

    x: Tensor
    y: Tensor
    ids: Tensor
    levels: int | None = 256

    def __post_init__(self) -> None:
        check_images(self.x)
        check_labels(self.y, len(self.x))
        check_ids(self.ids, len(self.x))

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> Batch:
        return Batch(self.x.to(device), self.y.to(device), self.ids.to(device), self.levels)

    def take(self, n: int) -> Batch:
        """The first n samples."""
        return Batch(self.x[:n], self.y[:n], self.ids[:n], self.levels)


def check_images(x: Tensor, name: str = "images") -> Tensor:
    """x is a float tensor, batch first, finite, in [0,1]."""
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() < 2:
        kind = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ContractError(f"expected {name} as a float tensor (batch, channel, height, width), got {kind}")
    if not len(x):
        raise ContractError(f"expected at least one of the {name}, got an empty batch")
    finite = torch.isfinite(x).flatten(1).all(1)
    if not bool(finite.all()):
        raise ContractError(
            f"expected finite {name}, got NaN or infinite pixels in sample {int((~finite).nonzero()[0])}"
        )
    low, high = (float(edge) for edge in x.detach().aminmax())
    if low < 0 or high > 1:
        hint = (
            "divide by 255" if high > 2 else "undo the normalisation: vb.models.wrap(net, mean=..., std=...) applies it"
        )
        raise ContractError(f"expected {name} in [0, 1], got [{low:.4g}, {high:.4g}]; {hint}")
    return x


def check_labels(y: Tensor, batch: int, classes: int | None = None) -> Tensor:
    """y is int64 `(batch,)`, inside [0, classes) where the class count is known."""
    if not isinstance(y, Tensor) or y.dtype != torch.int64 or y.shape != (batch,):
        kind = f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ContractError(f"expected labels as int64 of shape ({batch},), got {kind}")
    if classes is not None and bool(((y < 0) | (y >= classes)).any()):
        raise ContractError(
            f"expected labels in [0, {classes - 1}] for a model with {classes} classes, "
            f"got [{int(y.min())}, {int(y.max())}]; is this the data set the model was trained on?"
        )
    return y


def check_ids(ids: Tensor, batch: int) -> Tensor:
    """Sample ids are int64 `(batch,)`: random numbers are keyed by them."""
    if not isinstance(ids, Tensor) or ids.dtype != torch.int64 or ids.shape != (batch,):
        kind = f"{ids.dtype} of shape {tuple(ids.shape)}" if isinstance(ids, Tensor) else type(ids).__name__
        raise ContractError(f"expected {batch} sample ids as int64, got {kind}")
    return ids


def check_logits(logits: Tensor, batch: int) -> Tensor:
    """A model returns floating point `(batch, classes)` with at least two classes."""
    if not isinstance(logits, Tensor):
        raise ContractError(
            f"expected the model to return logits (batch, classes), got {type(logits).__name__}; "
            "adapt it with vb.models.wrap(model) or a small module"
        )
    if logits.dim() != 2 or logits.shape[0] != batch or logits.shape[1] < 2 or not logits.is_floating_point():
        raise ContractError(
            f"expected the model to return float logits ({batch}, classes >= 2), got {logits.dtype} {tuple(logits.shape)}"
        )
    return logits
