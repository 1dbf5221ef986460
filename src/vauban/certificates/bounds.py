"""Linear bounds of the outputs of a sequential network over a set of images (CROWN).

Zhang et al., "Efficient neural network robustness certification with general activation functions",
NeurIPS 2018 (arXiv:1811.00866). In float64, with all rounding errors taken off the bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vauban.certificates.linear_rows import LinearRows, Region
from vauban.core.norms import L2
from vauban.models.intervals import Box, differences, last_rising, margins_after, rounding, shapes_of, through
from vauban.models.lines import Lines
from vauban.models.steps import Affine, Corner, Pooled, Rising, Step

AT_ONCE = 2_000_000  # coefficients that are begun with at a time: 16 MB, of which about eight are held


class LinearBounds:
    """Linear bounds through the steps of a network over a region, from the first step on.

    The bounds before each activation that may lie on either side are those of the same method, cut by intervals.

    Rounding: a function of a step's outputs that is taken back errs, at every input in the bounds, by at most `rounding`
    times the sum of its absolute coefficients times the largest value that |W| |z| + |b| takes there; what is left over at
    the images errs likewise. These are taken off every bound.

    Attributes:
        steps: All steps.
        region: Where the images are.
        boxes: Bounds before each step.
        errors: Of each step, what a function errs by for each unit of its coefficients, `(batch,)`.
        lines: Of each activation that has been passed, those that hold over its box.
    """

    def __init__(self, steps: Sequence[Step], region: Region) -> None:
        self.steps, self.region = steps, region
        self.shapes = shapes_of(steps, region.x)
        self.boxes: list[Box] = [region.box]
        self.errors: list[Tensor] = []
        self.lines: dict[int, Lines] = {}

    def margins(self, label: Tensor) -> Tensor:
        """Lower bounds of z_y - z_k, never below those of intervals: `(batch, classes)`."""
        at = last_rising(self.steps)
        for i in range(at):
            self._advance(i)
        for i in range(at, len(self.steps)):
            self._pass(i)
        classes = self.shapes[-1].numel()
        owner = torch.arange(len(label), device=label.device).repeat_interleave(classes)
        low = self._lowest(LinearRows.start(differences(label, classes).flatten(0, 1), owner), len(self.steps))
        return torch.maximum(margins_after(self.steps, self.boxes[at], label, True), low.view(len(label), classes))

    def _advance(self, i: int) -> None:
        """Bounds before step i + 1, after those before step i have been made tighter where it is an activation."""
        if isinstance(self.steps[i], Rising) and not self._exact(i):
            self.boxes[i] = self._tightened(i)
        self._pass(i)

    def _exact(self, i: int) -> bool:
        """Whether intervals before step i cannot be made tighter: they follow from a box by one affine step, or by none."""
        before = self.steps[:i]
        if not before or isinstance(before[-1], Rising):
            return True
        known = all(isinstance(step, Affine) and step.diagonal for step in before[:-1])
        return known and self.region.norm != L2

    def _pass(self, i: int) -> None:
        """Intervals through step i, and what rounding does there."""
        step, box = self.steps[i], self.boxes[i]
        largest = torch.maximum(box[0].abs(), box[1].abs())
        sizes = step.size(largest) if isinstance(step, Affine) else 4 * largest
        terms = self.shapes[i].numel() + self.shapes[i + 1].numel()
        self.errors.append(rounding(terms, largest.dtype) * sizes.flatten(1).amax(1))
        self.boxes.append(through([step], box, True))

    def _tightened(self, i: int) -> Box:
        """Bounds of the inputs of step i, those from linear functions where its lines are not exact."""
        shape = self.shapes[i]
        either = _either(self.steps[i], self.boxes[i])
        low, high = (end.flatten(1).clone() for end in self.boxes[i])
        for rows, at, outputs in self._units(i, either, shape):
            place = rows.owner, outputs
            low[place] = torch.maximum(low[place], self._lowest(rows, at))
            high[place] = torch.minimum(high[place], -self._lowest(rows.negated, at))
        high = torch.maximum(low, high)  # equal but for rounding
        return low.view(-1, *shape), high.view(-1, *shape)

    def _units(self, i: int, either: Tensor, shape: torch.Size) -> Iterator[tuple[LinearRows, int, Tensor]]:
        """Single outputs before step i of the images for which they are wanted, and their places.

        They are taken back through the affine steps that they follow from, at `at`, once for all images.
        """
        numbers = torch.arange(shape.numel(), device=either.device).view(shape)
        for unit, corner, index in _outputs(numbers, either.any(0)):
            rows, at = LinearRows.start(unit, torch.zeros_like(index), corner), i
            sizes = []
            while at > 0 and isinstance(self.steps[at - 1], Affine):
                at -= 1
                sizes.append((self.errors[at], rows.size))
                rows = self._before(rows, at)
            together = max(1, AT_ONCE // rows.coefficients[0].numel())
            for image, wanted in enumerate(either.flatten(1)[:, index]):
                for chosen in torch.split(wanted.nonzero().squeeze(1), together):
                    some = rows.of_image(chosen, image)
                    error = sum((errors[image] * size[chosen] for errors, size in sizes), some.error)
                    yield replace(some, error=error), at, index[chosen]

    def _before(self, rows: LinearRows, i: int) -> LinearRows:
        step = self.steps[i]
        if isinstance(step, Affine):
            return rows.before(step, self.shapes[i], self.shapes[i + 1])
        if isinstance(step, Pooled):
            return rows.below_pool(step, self.boxes[i], self.shapes[i + 1])
        return rows.below(self._lines(i))

    def _lines(self, i: int) -> Lines:
        if i not in self.lines:
            step = self.steps[i]
            assert isinstance(step, Rising)
            assert step.lines is not None
            self.lines[i] = step.lines(*self.boxes[i])
        return self.lines[i]

    def _lowest(self, rows: LinearRows, at: int) -> Tensor:
        """Lower bounds of functions of the outputs of the first `at` steps, `(n,)`."""
        for i in range(at - 1, -1, -1):
            rows = self._before(replace(rows, error=rows.error + self.errors[i][rows.owner] * rows.size), i)
        left = rounding(self.shapes[0].numel(), rows.error.dtype) * (1 + self.region.radius[rows.owner])
        return replace(rows, error=rows.error + left * rows.size).lowest(self.region)


def _either(step: Step, box: Box) -> Tensor:
    """Inputs over whose interval an activation is not linear, `(batch, ...)`."""
    if isinstance(step, Pooled):
        return box[0] < box[1]
    assert isinstance(step, Rising)
    assert step.lines is not None
    lines = step.lines(*box)
    return (lines.below_slope != lines.above_slope) | (lines.below != lines.above)


def _outputs(numbers: Tensor, wanted: Tensor) -> Iterator[tuple[Tensor, Corner | None, Tensor]]:
    """Unit functions of outputs that any image wants, where their window begins, and their numbers.

    Those of images go position by position, all channels at once, since they reach the same window of the image.
    """
    if numbers.dim() != 3:
        one = torch.eye(numbers.numel(), dtype=torch.float64, device=numbers.device)
        some = wanted.flatten().nonzero().squeeze(1)
        for part in torch.split(some, max(1, AT_ONCE // numbers.numel())) if len(some) else ():
            yield one[part].view(-1, *numbers.shape), None, part
        return
    unit = torch.eye(len(numbers), dtype=torch.float64, device=numbers.device)[:, :, None, None]
    for row, column in wanted.any(0).nonzero().tolist():
        channels = wanted[:, row, column].nonzero().squeeze(1)
        yield unit[channels], (row, column), numbers[channels, row, column]


def linear_margins(steps: Sequence[Step], region: Region, label: Tensor) -> Tensor:
    """Lower bounds of z_y - z_k by linear bounds, never below those of intervals: `(batch, classes)`."""
    return LinearBounds(steps, region).margins(label)
