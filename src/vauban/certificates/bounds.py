"""Linear bounds of the outputs of a sequential network over a set of images (CROWN).

Zhang et al., "Efficient neural network robustness certification with general activation functions",
NeurIPS 2018 (arXiv:1811.00866). In float64, not rounded outwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.core.norms import L2, Norm
from vauban.models.intervals import Box, differences, folded, last_rising, lowest_in, shapes_of, through
from vauban.models.sequential import Affine, Rising, Step

AT_ONCE = 4_000_000  # coefficients that are held at a time


@dataclass(frozen=True)
class Region:
    """Images in [0,1] within a radius of each image of a batch.

    Attributes:
        x: Images `(batch, ...)`, float64.
        radius: `(batch,)`.
        norm: L-infinity or L2.
    """

    x: Tensor
    radius: Tensor
    norm: Norm

    @property
    def box(self) -> Box:
        """The smallest box around it."""
        wide = self.radius.view(-1, *(1,) * (self.x.dim() - 1))
        return (self.x - wide).clamp_min(0), (self.x + wide).clamp_max(1)

    def lowest(self, rows: Tensor) -> Tensor:
        """Lower bounds of linear functions, coefficients `(batch, k, ...)`, over the region: `(batch, k)`.

        Exact over the box; for L2 the larger of that and the minimum over the ball, -radius times the L2 norm.
        """
        low = lowest_in(rows, self.box)
        if self.norm != L2:
            return low
        centre = (rows * self.x[:, None]).flatten(2).sum(2)
        return torch.maximum(low, centre - self.radius[:, None] * rows.flatten(2).norm(dim=2))


def linear_margins(steps: Sequence[Step], region: Region, label: Tensor) -> Tensor:
    """Lower bounds of z_y - z_k by linear bounds, never below those of intervals: `(batch, classes)`.

    The bounds before each ReLU that may have either sign are those of the same method, cut by intervals; the line below a
    ReLU has slope 1 where the interval reaches farther above 0 than below, else the slope below 0.
    """
    shapes, at = shapes_of(steps, region.x), last_rising(steps)
    before: dict[int, Box] = {}
    box, start = region.box, 0
    for i in (i for i, step in enumerate(steps[:at]) if isinstance(step, Rising)):
        low, high = through(steps[start:i], box)
        if start or i > 1 or region.norm == L2:  # intervals through a single affine step are exact
            low, high = _tightened(steps[:i], shapes, before, region, (low, high))
        before[i] = low, high
        box, start = (steps[i].apply(low), steps[i].apply(high)), i + 1
    rows, constant = folded(steps[at:], shapes[at:-1], differences(label, shapes[-1][0]))
    by_intervals = lowest_in(rows, box) + constant
    return torch.maximum(by_intervals, constant + _backward(steps[:at], shapes, before, region, rows))


def _tightened(
    steps: Sequence[Step], shapes: Sequence[torch.Size], before: dict[int, Box], region: Region, box: Box
) -> Box:
    """Bounds of the outputs of some steps that may have either sign, cut by those of intervals, `box`.

    The affine steps that the outputs end with are the same for all images, and go back once for all of them.
    """
    shape, at = shapes[len(steps)], last_rising(steps)
    flat_low, flat_high = (end.flatten(1).clone() for end in box)
    either = ((flat_low < 0) & (flat_high > 0)).any(0).nonzero().squeeze(1)
    unit = torch.eye(shape.numel(), dtype=torch.float64, device=region.x.device)
    for part in torch.split(either, max(1, AT_ONCE // (len(region.x) * max(s.numel() for s in shapes)))):
        rows, constant = folded(steps[at:], shapes[at : len(steps)], unit[part].view(1, -1, *shape))
        low = constant + _backward(steps[:at], shapes, before, region, rows)
        high = constant - _backward(steps[:at], shapes, before, region, -rows)
        flat_low[:, part] = torch.maximum(flat_low[:, part], low)
        flat_high[:, part] = torch.minimum(flat_high[:, part], high)
    flat_high = torch.maximum(flat_low, flat_high)  # equal but for rounding
    return flat_low.view(-1, *shape), flat_high.view(-1, *shape)


def _backward(
    steps: Sequence[Step], shapes: Sequence[torch.Size], before: dict[int, Box], region: Region, rows: Tensor
) -> Tensor:
    """Lower bounds of linear functions of the output of steps, `(batch or 1, k, ...)`, taken back to the images."""
    constant = torch.zeros(rows.shape[:2], dtype=rows.dtype, device=rows.device)
    for i in range(len(steps) - 1, -1, -1):
        step = steps[i]
        if isinstance(step, Affine):
            rows, added = folded([step], [shapes[i]], rows)
        else:
            assert step.slope is not None
            rows, added = relaxed(rows, before[i], step.slope)
        constant = constant + added
    return region.lowest(rows) + constant


def relaxed(rows: Tensor, box: Box, slope: float) -> tuple[Tensor, Tensor]:
    """Linear functions of a (leaky) ReLU's output as lower bounds in its input, `(batch, k, ...)`, and constants.

    Above the function lies its chord over [l, u]; below it a line through 0.
    """
    low, high = (end[:, None] for end in box)
    wide = (high - low).clamp_min(torch.finfo(rows.dtype).tiny)
    chord = torch.where(low >= 0, 1.0, torch.where(high <= 0, slope, (high - slope * low) / wide))
    offset = torch.where((low < 0) & (high > 0), (slope - chord) * low, 0.0)
    line = torch.where(high > -low, 1.0, slope)
    positive, negative = rows.clamp_min(0), rows.clamp_max(0)
    return positive * line + negative * chord, (negative * offset).flatten(2).sum(2)
