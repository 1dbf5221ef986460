"""Device: where networks and images are, by its word."""

from __future__ import annotations

import torch

from vauban.core.errors import ContractError


def check_device(word: str, name: str = "device") -> str:
    """The word of a device that this machine has.

    Args:
        word: `cpu`, `cuda` or `cuda:0`.
        name: What the message calls it.

    Raises:
        ContractError: The word names no device, or one that this machine has not.
    """
    try:
        device = torch.device(word)
    except (RuntimeError, TypeError):
        raise ContractError(f"expected {name} as cpu, cuda or cuda:0, got {word!r}") from None
    if device.type not in ("cpu", "cuda"):
        raise ContractError(f"expected {name} as cpu, cuda or cuda:0, got {word!r}")
    devices = torch.cuda.device_count() if device.type == "cuda" and torch.cuda.is_available() else 0
    if device.type == "cuda" and not devices:
        raise ContractError(f"{name} {word}: this machine has no CUDA device that torch can use; use {name} cpu")
    if device.type == "cuda" and (device.index or 0) >= devices:
        raise ContractError(f"{name} {word}: this machine has {devices} CUDA devices, the first is cuda:0")
    return word
