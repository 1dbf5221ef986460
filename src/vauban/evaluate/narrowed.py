"""Attacks with one radius for each image, on some of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

from vauban.core.norms import Ball
from vauban.engine import Attack


def narrowed(value: Any, rows: Tensor, shape: Sequence[int]) -> Any:
    """An attack on some rows of a batch: one radius for each image, also of attacks inside, becomes that of these.

    Args:
        value: The attack; what it holds is gone through likewise.
        rows: Positions in the batch, int64.
        shape: Of the images of the whole batch.
    """
    if isinstance(value, Ball):
        radius = value.radius
        own = isinstance(radius, Tensor) and radius.dim() in (1, len(shape)) and len(radius) == shape[0]
        return Ball(value.norm, radius[rows]) if own and isinstance(radius, Tensor) else value
    if isinstance(value, tuple):
        return tuple(narrowed(one, rows, shape) for one in value)
    is_attack = isinstance(value, Attack)
    if not is_attack or not is_dataclass(value) or isinstance(value, type):
        return value
    held = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    return replace(value, **{name: narrowed(one, rows, shape) for name, one in held.items()})
