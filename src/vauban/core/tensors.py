"""Per-sample broadcasting: the rest of the code speaks of `(batch,)` values and `(batch, ...)` images."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import torch
from torch import Tensor

S = TypeVar("S")


def like(value: Tensor, x: Tensor) -> Tensor:
    """A `(batch,)` tensor as one that broadcasts over the images x `(batch, ...)`."""
    return value.reshape(-1, *(1,) * (x.dim() - 1))


def flat(x: Tensor) -> Tensor:
    """Images as rows: `(batch, ...)` -> `(batch, features)`."""
    return x.flatten(1)


def components(x: Tensor) -> tuple[int, ...]:
    """All dimensions of x but the batch, over which a value per sample is reduced."""
    return tuple(range(1, x.dim()))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product per sample, `(batch,)`."""
    return (a * b).sum(components(a))


def unit(v: Tensor, p: float = 2) -> Tensor:
    """Vectors of length one: v / ||v||_p per sample, and the zero vector unchanged.

    The norm is summed in float64: the square of a gradient of 1e-30 is zero in float32.

    Args:
        v: Vectors `(batch, ...)`.
        p: The order of the norm.

    Returns:
        A tensor of the shape and the type of v.
    """
    size = torch.linalg.vector_norm(v, p, dim=components(v), dtype=torch.float64)
    return v / like((size + (size == 0)).to(v.dtype), v)


def where(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The samples of a where the mask `(batch,)` is true, those of b elsewhere; a and b `(batch, ...)`."""
    return torch.where(like(mask, a), a, b)


AT_ONCE = "cpu"
"""Type of the devices whose values the host reads without waiting."""


def waits(x: Tensor) -> bool:
    """Whether the host waits for the device where it reads a value of x: on a CPU there is nothing to wait for.

    A loop asks before it looks for rows that it can leave out: on a CPU that saves work, elsewhere it stops the device.
    """
    return x.device.type != AT_ONCE


def take(state: S, index: Tensor) -> S:
    """Rows of a state whose tensors all lead with the batch.

    Args:
        state: A tensor, a tuple or a frozen dataclass of such, nested as deep as need be. Anything else, None or a norm
            for instance, has no rows and stays the one object.
        index: Positions in the batch, int64 `(rows,)`, or a mask `(batch,)`.

    Returns:
        A state of the same type. A dataclass in which nothing has rows is returned itself.
    """
    if isinstance(state, Tensor):
        return state[index]  # type: ignore[return-value]
    if isinstance(state, tuple):
        members = [take(member, index) for member in state]
        return type(state)(*members) if hasattr(state, "_fields") else tuple(members)  # type: ignore[return-value]
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        old = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
        new = {name: take(value, index) for name, value in old.items()}
        changed = any(new[name] is not old[name] for name in old)
        return dataclasses.replace(state, **new) if changed else state
    return state
