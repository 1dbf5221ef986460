"""Interval bounds of the outputs of a sequential network (IBP).

Gowal et al., "On the effectiveness of interval bound propagation for training verifiably robust models", 2018
(arXiv:1810.12715).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vauban.models.steps import Affine, Rising, Step

Box = tuple[Tensor, Tensor]
"""Lowest and highest values `(batch, ...)`."""


def lowest_in(rows: Tensor, box: Box) -> Tensor:
    """The minimum of linear functions, coefficients `(batch, k, ...)`, over a box: `(batch, k)`."""
    low, high = (end[:, None] for end in box)
    return (rows.clamp_min(0) * low + rows.clamp_max(0) * high).flatten(2).sum(2)


def rounding(terms: int, dtype: torch.dtype) -> float:
    """A bound of the relative error of sums of products, of the sum of their absolute values.

    n roundings in a row err by at most n u / (1 - n u), u half of eps (Higham, "Accuracy and stability of numerical
    algorithms", (3.5)); 2 (n + 64) u here: for the products, constants and few operations that stand beside a sum.
    """
    return (terms + 64) * torch.finfo(dtype).eps


def through(steps: Sequence[Step], box: Box, outward: bool = False) -> Box:
    """Interval bounds after steps; outward: widened by all that rounding can have done."""
    low, high = box
    for step in steps:
        if isinstance(step, Affine):
            centre, half = (low + high) / 2, (high - low) / 2
            error: Tensor | float = 0.0
            if outward:
                error = rounding(centre[0].numel(), low.dtype) * step.size(centre.abs() + half)
            centre, half = step.apply(centre), step.spread(half)
            low, high = centre - half - error, centre + half + error
        else:
            low, high = step.apply(low), step.apply(high)
            if outward:
                slack, eps = step.slack, 8 * torch.finfo(low.dtype).eps
                low, high = low - low.abs() * eps - slack, high + high.abs() * eps + slack
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


def interval_margins(steps: Sequence[Step], box: Box, label: Tensor, outward: bool = False) -> Tensor:
    """Lower bounds of z_y - z_k by intervals, the last affine layers folded into the difference: `(batch, classes)`."""
    at = last_rising(steps)
    return margins_after(steps, through(steps[:at], box, outward), label, outward)


def margins_after(steps: Sequence[Step], box: Box, label: Tensor, outward: bool) -> Tensor:
    """The same from bounds after the last step that is not affine."""
    last = steps[last_rising(steps) :]
    shapes = shapes_of(last, box[0])
    rows, constant = folded(last, shapes[:-1], differences(label, shapes[-1].numel(), box[0].dtype))
    low = lowest_in(rows, box) + constant
    if not outward:
        return low
    size = torch.maximum(box[0].abs(), box[1].abs())
    for step in last:
        assert isinstance(step, Affine)
        size = step.size(size)
    terms = sum(shape.numel() for shape in shapes)
    return low - rounding(terms, low.dtype) * (size + size.gather(1, label[:, None]))
