"""Logits in what a network returns: where they are, and two of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.outputs import kind, refusal

Picker = str | int | Callable[[Any], Tensor] | None


def pick_logits(output: Any, picker: Picker = None) -> Tensor:
    """The logits in what a network returned.

    Args:
        output: What it returned.
        picker: Where they are: a key or an attribute, a position, or a function of the output; None for the output itself
            or its `.logits` (Hugging Face). A name is a key first where the output has keys.

    Raises:
        ContractError: There are none.
    """
    if callable(picker):
        logits = picker(output)
    else:
        at = "logits" if picker is None and not isinstance(output, Tensor) else picker
        logits = output if at is None else _at(output, at)
        if logits is None and picker is not None:
            raise ContractError(f"expected logits at {picker!r} of what the model returns, {kind(output)}")
    if not isinstance(logits, Tensor):
        raise ContractError(refusal(output if logits is None else logits, "batch"))
    return logits


def _at(output: Any, at: str | int) -> Any:
    """What stands at a key, an attribute or a position; None for nothing."""
    if isinstance(output, Mapping) and at in output:
        return output[at]
    if isinstance(at, str):
        return None if isinstance(output, Mapping) and hasattr(type(output), at) else getattr(output, at, None)
    try:
        return output[at]
    except (KeyError, IndexError, TypeError):
        return None


def two_classes(z: Tensor) -> Tensor:
    """Two logits `(batch, 2)` of one, (-z/2, z/2): their softmax is sigmoid(z), class 1 where z > 0.

    Args:
        z: One logit for each image, `(batch,)` or `(batch, 1)`.

    Raises:
        ContractError: Another shape, or labels.
    """
    if not z.is_floating_point() or z.shape[1:] not in ((), (1,)):
        raise ContractError(
            f"expected one float logit for each image, (batch, 1), where binary=True, got {z.dtype} {tuple(z.shape)}"
        )
    half = z.reshape(-1, 1) / 2
    return torch.cat([-half, half], 1)
