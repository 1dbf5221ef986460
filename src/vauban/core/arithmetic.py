"""Arithmetic in which a network is computed: float32, or what is faster and less exact on the way to an adversarial image.

`bf16` is `torch.autocast`: parameters and images stay float32, products are taken in bfloat16. `tf32` is float32 with
products of ten bits of mantissa, which CUDA devices have. `float32` means that alone: by default torch lets cuDNN convolve
in tf32, and what judges an image does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, get_args

import torch

from vauban.core.errors import ContractError

Precision = Literal["float32", "bf16", "tf32"]


def check_precision(word: str, device: str | torch.device, name: str = "precision") -> Precision:
    """The word of a precision that a device has.

    Args:
        word: `float32`, `bf16` or `tf32`.
        device: Where networks are computed.
        name: What the message calls it.

    Raises:
        ContractError: The word names no precision, or one that the device has not.
    """
    for precision in get_args(Precision):
        if word == precision:
            if precision == "tf32" and torch.device(device).type != "cuda":
                raise ContractError(f"{name} tf32 is for CUDA devices, got {device}; use float32 or bf16")
            return precision  # type: ignore[no-any-return]
    raise ContractError(f"expected {name} as float32, bf16 or tf32, got {word!r}")


def autocast(precision: Precision | None, device: torch.device) -> AbstractContextManager[Any]:
    """Where a network is called in a precision; its backward pass follows what was computed and is outside."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def products(precision: Precision | None, device: torch.device) -> AbstractContextManager[None]:
    """Where float32 products on a CUDA device are what a precision says, forwards and backwards; restored afterwards.

    Args:
        precision: `tf32` allows them in tf32, others do not; None: what torch is set to.
        device: Elsewhere than on a CUDA device nothing is changed.
    """
    if precision is None or device.type != "cuda":
        return nullcontext()
    return products_in_tf32(precision == "tf32")


@contextmanager
def products_in_tf32(allowed: bool) -> Iterator[None]:
    """Where products and convolutions of float32 on CUDA devices are taken in tf32, or in float32."""
    switches = _switches()
    before = [getattr(owner, name) for owner, name, _ in switches]
    try:
        for owner, name, values in switches:
            setattr(owner, name, values[allowed])
        yield
    finally:
        for (owner, name, _), value in zip(switches, before, strict=True):
            setattr(owner, name, value)


def _switches() -> list[tuple[Any, str, tuple[Any, Any]]]:
    """The settings of torch: owner, name, and the values for float32 and for tf32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):  # since torch 2.9, where the older names may not be mixed with it
        owners = (matmul, cudnn.conv, cudnn.rnn)  # type: ignore[attr-defined]
        return [(owner, "fp32_precision", ("ieee", "tf32")) for owner in owners]
    return [(owner, "allow_tf32", (False, True)) for owner in (matmul, cudnn)]
