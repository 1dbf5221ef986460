"""First answer of a network: asked before anything is spent, and a failure told in one line with its likely cause."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vauban.core.errors import ContractError, VaubanError
from vauban.engine.network import predict, shown

SIZES = (1, 2, 4, 8, 10, 16, 20, 32, 50, 64, 100, 128, 256)
"""Batch sizes that are tried on a network that refuses another one."""
LARGEST = 2**25  # components of the largest such batch


def first_answer(network: nn.Module, x: Tensor, half: torch.dtype | None = None) -> Tensor:
    """Logits `(batch, classes)` of a network that may not fit the images; the caller sets modes and seeds.

    Args:
        network: The network.
        x: Images `(batch, ...)`; the network gets a copy.
        half: The half-precision type in which they are given, as for `network.shown`.

    Raises:
        ContractError: It fails on them, or returns no logits.
    """
    try:
        return predict(network, x.clone(), half)
    except (VaubanError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        x = shown(network, x, half)
        raise ContractError(
            f"expected a model that takes {x.dtype} images of shape {tuple(x.shape)}, but it failed: "
            f"{reason(error)}{_cause(network, x, error)}"
        ) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether torch or the system says that memory ran out."""
    signs = ("can't allocate memory", "out of memory", "not enough memory", "alloc_failed")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(s in str(error).lower() for s in signs)


def reason(error: BaseException) -> str:
    """An exception in one line; TorchScript writes what happened in its last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = "" if not lines else lines[-1] if "TorchScript" in lines[0] else lines[0]
    if not text:
        return type(error).__name__
    plain = isinstance(error, RuntimeError) and type(error) is RuntimeError
    return text if plain else f"{type(error).__name__}: {text}"


def _cause(network: nn.Module, x: Tensor, error: Exception) -> str:
    """The likely cause of a failure, behind a semicolon; "" where none is known."""
    own = next((p for p in network.parameters() if p.is_floating_point()), None)
    if own is not None and own.device != x.device:
        return f"; the model is on {own.device}, the images on {x.device}: move one of them"
    if own is not None and own.dtype != x.dtype:
        return (
            f"; its parameters are {own.dtype}: convert the images (x.to({own.dtype})) or the model (net.to({x.dtype}))"
        )
    if isinstance(error, TypeError) and "missing" in str(error) and "argument" in str(error):
        return "; it asks for more than images: write a small module that knows the rest and takes images alone"
    if taken := _sizes_taken(network, x):
        return (
            f"; it takes batches of {taken[0] if len(taken) == 1 else f'{taken[0]} to {taken[-1]}'} only, and an attack "
            "drops images that are done: write x.shape[0] or -1 in the place of the number"
        )
    if x.dim() == 4 and x.shape[1] == 3 and bool((x == x[:, :1]).all()):
        return "; these images are grey in three channels: a folder with grey=true gives one"
    if x.dim() == 4 and x.shape[-1] in (1, 3) and x.shape[1] not in (1, 3):
        return "; channels come first: x.permute(0, 3, 1, 2)"
    return ""


def _sizes_taken(network: nn.Module, x: Tensor) -> list[int]:
    """Batch sizes that the network does take, of the first image repeated."""
    taken = []
    for size in SIZES:
        if size != len(x) and size * x[0].numel() <= LARGEST:
            try:
                predict(network, x[:1].repeat(size, *(1,) * (x.dim() - 1)))
            except Exception:
                continue
            taken.append(size)
    return taken
