"""Arrays of any kind - tensors, numpy arrays, lists - as the tensors of a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.tolerance import tolerance


def tensor_of(value: Any, name: str) -> Tensor:
    """A tensor, or what is read as one: an array, a list of numbers, a list of tensors.

    Args:
        value: What is given.
        name: What the message calls it.

    Returns:
        The tensor itself outside of inference mode; of anything else a tensor of its own.

    Raises:
        ContractError: It is no array of numbers.
    """
    if isinstance(value, Tensor):
        return value.clone() if value.is_inference() and not torch.is_inference_mode_enabled() else value
    try:
        if isinstance(value, (list, tuple)) and value and all(isinstance(part, Tensor) for part in value):
            return torch.stack(tuple(value))
        return torch.tensor(value) if isinstance(value, (list, tuple)) else torch.from_numpy(value.copy())
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise ContractError(
            f"expected {name} as a tensor or an array of numbers, got {type(value).__name__}"
        ) from error


def batch_of(x: Any, y: Any) -> Batch:
    """Images and labels as a batch with the ids 0, 1, 2, ...

    Args:
        x: Images `(batch, ...)` in [0,1].
        y: Labels `(batch,)`; whole numbers of any width where they are no tensor.

    Raises:
        ContractError: One of the two is something else, or there is one image without the axis of a batch.
    """
    images, labels = tensor_of(x, "images"), tensor_of(y, "labels")
    if labels.dim() == 0:
        raise ContractError(
            f"expected a batch of images and labels, got one image of shape {tuple(images.shape)} and one label; "
            "add the axis of the batch: (x[None], y[None])"
        )
    if not isinstance(y, Tensor) and not labels.is_floating_point() and labels.dtype != torch.bool:
        labels = labels.long()
    return Batch(images, labels.to(images.device), torch.arange(len(labels), device=images.device))


def within_tolerance(x: Tensor) -> Tensor:
    """Images with the components that float arithmetic has put outside [0,1], by the tolerance of their type, at 0 or 1."""
    slack = tolerance(x.dtype)
    return torch.where((x >= -slack) & (x <= 1 + slack), x.clamp(0, 1), x)


def mask_of(mask: Any, x: Tensor) -> Tensor:
    """A mask as booleans of the shape of x.

    Args:
        mask: False or 0 where the attacker may change nothing, True or 1 elsewhere; broadcasts to x.
        x: Images `(batch, ...)`.

    Raises:
        ContractError: It has other values, or does not broadcast.
    """
    given = tensor_of(mask, "a mask").to(x.device)
    other = (given != 0) & (given != 1)  # NaN too
    if given.dtype != torch.bool and bool(other.any()):
        value = given[other].flatten()[0].item()
        raise ContractError(
            f"expected a mask of true and false, or of 0 and 1, got the value {value:.4g}; a share of a pixel cannot be "
            "masked: compare, e.g. mask > 0.5"
        )
    try:
        return given.bool().expand_as(x)
    except RuntimeError:
        raise ContractError(f"expected a mask that broadcasts to {tuple(x.shape)}, got {tuple(given.shape)}") from None
