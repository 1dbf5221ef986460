"""Linear functions of a layer's outputs, each about one image of a batch, and how they are taken back to the images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vauban.core.norms import L2, Norm
from vauban.models.intervals import Box
from vauban.models.lines import Lines
from vauban.models.steps import Affine, Corner, Pooled


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
        """The smallest box around it, rounded outwards."""
        wide = self.radius.view(-1, *(1,) * (self.x.dim() - 1)) + 4 * torch.finfo(self.x.dtype).eps
        return (self.x - wide).clamp_min(0), (self.x + wide).clamp_max(1)


@dataclass(frozen=True)
class LinearRows:
    """Linear functions of outputs: constant + <coefficients, outputs>.

    Attributes:
        coefficients: `(n, *outputs)`, or `(n, channels, h, w)` of a window of images, 0 elsewhere.
        constant: `(n,)`.
        owner: The image that each is about, int64 `(n,)`.
        error: What rounding may have done to each, `(n,)`.
        corner: Where the window begins; None for all outputs.
        image: The one that all are about; None where they are about several.
    """

    coefficients: Tensor
    constant: Tensor
    owner: Tensor
    error: Tensor
    corner: Corner | None = None
    image: int | None = None

    @classmethod
    def start(cls, coefficients: Tensor, owner: Tensor, corner: Corner | None = None) -> LinearRows:
        """Functions without constants."""
        none = coefficients.new_zeros(len(coefficients))
        return cls(coefficients, none, owner, none, corner)

    def of_image(self, rows: Tensor, image: int) -> LinearRows:
        """Some of the functions, by index, as functions of an image."""
        return replace(
            self,
            coefficients=self.coefficients[rows],
            constant=self.constant[rows],
            owner=torch.full_like(rows, image),
            error=self.error[rows],
            image=image,
        )

    @property
    def negated(self) -> LinearRows:
        return replace(self, coefficients=-self.coefficients, constant=-self.constant)

    def __len__(self) -> int:
        return len(self.owner)

    @property
    def size(self) -> Tensor:
        """The sum of the absolute coefficients, `(n,)`."""
        size: Tensor = torch.linalg.vector_norm(self.coefficients.flatten(1), ord=1, dim=1)
        return size

    def of(self, values: Tensor) -> Tensor:
        """Values of each image's outputs `(batch, ...)` as those that each function is of, `(n or 1, ...)`."""
        if self.corner is not None:
            (top, left), (high, wide) = self.corner, self.coefficients.shape[2:]
            values = values[:, :, top : top + high, left : left + wide]
        return values[self.owner] if self.image is None else values[self.image : self.image + 1]

    def whole(self, shape: torch.Size) -> LinearRows:
        """The same without a window."""
        if self.corner is None:
            return self
        full = self.coefficients.new_zeros(len(self), *shape)
        (top, left), (high, wide) = self.corner, self.coefficients.shape[2:]
        full[:, :, top : top + high, left : left + wide] = self.coefficients
        return replace(self, coefficients=full, corner=None)

    def before(self, step: Affine, shape: torch.Size, after: torch.Size) -> LinearRows:
        """The same functions of the inputs of an affine step, whose shapes are given."""
        if step.back is not None and len(after) == 3:
            back, added, corner = step.back(self.coefficients, self.corner or (0, 0), shape)
            return replace(self, coefficients=back, constant=self.constant + added, corner=corner)
        back, added = step.folded(self.whole(after).coefficients, shape)
        return replace(self, coefficients=back, constant=self.constant + added, corner=None)

    def below(self, lines: Lines) -> LinearRows:
        """Lower bounds by functions of the inputs of an activation, from the lines that hold there."""
        positive, negative = self.coefficients.clamp_min(0), self.coefficients.clamp_max(0)
        added = self._summed(positive, lines.below) + self._summed(negative, lines.above)
        slopes = positive.mul_(self.of(lines.below_slope)).addcmul_(negative, self.of(lines.above_slope))
        return replace(self, coefficients=slopes, constant=self.constant + added)

    def _summed(self, coefficients: Tensor, values: Tensor) -> Tensor:
        if self.image is not None:
            return coefficients.flatten(1) @ self.of(values).flatten()
        return (coefficients * self.of(values)).flatten(1).sum(1)

    def below_pool(self, step: Pooled, box: Box, after: torch.Size) -> LinearRows:
        """Lower bounds by functions of the inputs of a max pool, which lie in a box.

        max_i x_i >= x_j for any j, here the one with the highest middle. With c the larger of the highest lower end and the
        second highest upper end, of the inputs only t with the highest upper end may exceed c, and
        max_i x_i <= c + max(x_t - c, 0) <= c + (u_t - c) / (u_t - l_t) (x_t - l_t).
        """
        (low, low_at), (high, high_at) = (_windows(end, step) for end in box)
        chosen = (low + high).nan_to_num(-torch.inf).argmax(2, keepdim=True)
        tops = high.topk(min(2, high.shape[2]), 2)
        top = tops.indices[:, :, :1]
        cut = torch.maximum(low.amax(2), tops.values[:, :, -1] if high.shape[2] > 1 else low.amax(2))
        low_top, high_top = (end.gather(2, top).squeeze(2) for end in (low, high))
        rise = (high_top - cut).clamp_min(0) / (high_top - low_top).clamp_min(torch.finfo(low.dtype).tiny)
        added = cut - rise * torch.where(rise > 0, low_top, 0.0)

        rows = self.whole(after).coefficients
        positive, negative = (part.flatten(2) for part in (rows.clamp_min(0), rows.clamp_max(0)))
        flat = [part.flatten(2)[self.owner] for part in (rise, added)]
        places = [
            at.expand_as(low).gather(2, one).squeeze(2).flatten(2) for at, one in ((low_at, chosen), (high_at, top))
        ]
        back = rows.new_zeros(len(self), rows.shape[1], box[0][0, 0].numel())
        back.scatter_add_(2, places[0][self.owner], positive)
        back.scatter_add_(2, places[1][self.owner], negative * flat[0])
        constant = self.constant + (negative * flat[1]).flatten(1).sum(1)
        return replace(self, coefficients=back.view(len(self), *box[0].shape[1:]), constant=constant, corner=None)

    def lowest(self, region: Region) -> Tensor:
        """Their lower bounds over a region, `(n,)`: exact over the box; for L2 the larger of that and the one of the ball.

        The minimum over the ball is that at the centre less the radius times the L2 norm.
        """
        low, high = region.box
        rows = self.coefficients
        least = self._summed(rows.clamp_min(0), low) + self._summed(rows.clamp_max(0), high)
        if region.norm == L2:
            centre = self._summed(rows, region.x)
            least = torch.maximum(least, centre - region.radius[self.owner] * rows.flatten(1).norm(dim=1))
        return least + self.constant - self.error


def _windows(values: Tensor, step: Pooled) -> tuple[Tensor, Tensor]:
    """The inputs of each maximum, `(batch, channels, inputs, h, w)`, -inf outside; and their places in the image, flat."""
    assert step.window is not None
    (rows, columns), (down, right) = step.window, step.padding
    index = torch.arange(values[0, 0].numel(), device=values.device).view(1, 1, *values.shape[2:])

    def cut(image: Tensor, outside: float) -> Tensor:
        padded = torch.nn.functional.pad(image, (right, right, down, down), value=outside)
        parts = padded.unfold(2, rows, step.stride[0]).unfold(3, columns, step.stride[1])
        return parts.flatten(4).permute(0, 1, 4, 2, 3)

    return cut(values, -torch.inf), cut(index, 0)
