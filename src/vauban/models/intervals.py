"""Interval bounds of the outputs of a sequential network (IBP).

Gowal et al., "On the effectiveness of interval bound propagation for training verifiably robust models", 2018
(arXiv:1810.12715).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vauban.models.sequential import Affine, Rising, Step

Box = tuple[Tensor, Tensor]
"""Lowest and highest values `(batch, ...)`."""


def lowest_in(rows: Tensor, box: Box) -> Tensor:
    """The minimum of linear functions, coefficients `(batch, k, ...)`, over a box: `(batch, k)`."""
    low, high = (end[:, None] for end in box)
    return (rows.clamp_min(0) * low + rows.clamp_max(0) * high).flatten(2).sum(2)


def through(steps: Sequence[Step], box: Box) -> Box:
    """Interval bounds after steps."""
    low, high = box
    for step in steps:
        if isinstance(step, Affine):
            centre, half = step.apply((low + high) / 2), step.spread((high - low) / 2)
            low, high = centre - half, centre + half
        else:
            low, high = step.apply(low), step.apply(high)
    return low, high


def last_rising(steps: Sequence[Step]) -> int:
    """The number of steps up to the last one that is not affine, itself included."""
    return max((i + 1 for i, step in enumerate(steps) if isinstance(step, Rising)), default=0)


def shapes_of(steps: Sequence[Step], x: Tensor) -> list[torch.Size]:
    """The shape of one sample before each step, and after the last."""
    z, shapes = x[:1], []
    for step in steps:
        shapes.append(z.shape[1:])
        z = step.apply(z)
    return [*shapes, z.shape[1:]]


def differences(label: Tensor, classes: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Rows e_y - e_k over every class k, `(batch, classes, classes)`; zero for y itself."""
    unit = torch.eye(classes, dtype=dtype, device=label.device)
    return unit[label][:, None] - unit[None]


def folded(steps: Sequence[Step], shapes: Sequence[torch.Size], rows: Tensor) -> tuple[Tensor, Tensor]:
    """Linear functions `(batch, k, ...)` of the output of affine steps as functions of their input, and constants."""
    constant = torch.zeros(rows.shape[:2], dtype=rows.dtype, device=rows.device)
    for step, shape in reversed(list(zip(steps, shapes, strict=True))):
        assert isinstance(step, Affine)
        flat, added = step.folded(rows.flatten(0, 1), shape)
        rows, constant = flat.view(*rows.shape[:2], *shape), constant + added.view(rows.shape[:2])
    return rows, constant


def interval_margins(steps: Sequence[Step], box: Box, label: Tensor) -> Tensor:
    """Lower bounds of z_y - z_k by intervals, the last affine layers folded into the difference: `(batch, classes)`."""
    shapes, at = shapes_of(steps, box[0]), last_rising(steps)
    rows, constant = folded(steps[at:], shapes[at:-1], differences(label, shapes[-1][0], box[0].dtype))
    return lowest_in(rows, through(steps[:at], box)) + constant
