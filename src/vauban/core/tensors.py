"""The only per-sample broadcasting code: everything else speaks of `(batch,)` values and `(batch, ...)` images."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import torch
from torch import Tensor

S = TypeVar("S")


def like(value: Tensor, x: Tensor) -> Tensor:
    """Reshape a `(batch,)` tensor so that it broadcasts over the images x `(batch, ...)`."""
    return value.reshape(-1, *(1,) * (x.dim() - 1))


def flat(x: Tensor) -> Tensor:
    """Images as rows: `(batch, ...)` -> `(batch, features)`."""
    return x.flatten(1)


def components(x: Tensor) -> tuple[int, ...]:
    """All dimensions but the batch: what a value per sample reduces over."""
    return tuple(range(1, x.dim()))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Per-sample inner product `(batch,)`."""
    return (a * b).sum(components(a))


def unit(v: Tensor, p: float = 2) -> Tensor:
    """v / ||v||_p per sample; the zero vector stays zero (n(0) = 0).

    The norm is summed in float64: the square of a gradient of 1e-30 is zero in float32.
    """
    size = torch.linalg.vector_norm(v, p, dim=components(v), dtype=torch.float64)
    return v / like((size + (size == 0)).to(v.dtype), v)


def where(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Per-sample choice by a `(batch,)` mask."""
    return torch.where(like(mask, a), a, b)


def take(state: S, index: Tensor) -> S:
    """The given rows of a frozen dataclass of batch-leading tensors (nested, tuples and None included)."""
    if isinstance(state, Tensor):
        return state[index]  # type: ignore[return-value]
    if isinstance(state, tuple):
        parts = [take(v, index) for v in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)  # type: ignore[return-value]
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        old = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
        new = {name: take(value, index) for name, value in old.items()}
        changed = any(new[name] is not old[name] for name in old)  # a norm, say, has no rows and stays the one object
        return dataclasses.replace(state, **new) if changed else state
    return state
