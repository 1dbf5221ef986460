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


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Per-sample inner product `(batch,)`."""
    return (flat(a) * flat(b)).sum(1)


def unit(v: Tensor, p: float = 2) -> Tensor:
    """v / ||v||_p per sample; the zero vector stays zero (n(0) = 0)."""
    size = torch.linalg.vector_norm(flat(v), p, dim=1)
    return v / like(size.where(size > 0, torch.ones_like(size)), v)


def where(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Per-sample choice by a `(batch,)` mask."""
    return torch.where(like(mask, a), a, b)


def take(state: S, index: Tensor) -> S:
    """The given rows of a frozen dataclass of batch-leading tensors (nested, tuples and None included)."""
    if isinstance(state, Tensor):
        return state[index]  # type: ignore[return-value]
    if isinstance(state, tuple):
        return tuple(take(v, index) for v in state)  # type: ignore[return-value]
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        fields = {f.name: take(getattr(state, f.name), index) for f in dataclasses.fields(state)}
        return dataclasses.replace(state, **fields)
    return state
