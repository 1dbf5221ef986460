"""Pixel grid: rounding of images to the levels in which they are saved, without leaving the ball."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Range
from vauban.core.precision import working_type
from vauban.core.tensors import flat, like, waits
from vauban.core.tolerance import level_slack, tolerance, upper_limit

Levels = Annotated[int, Range(2)]
"""A whole number of pixel levels, at least 2."""


def on_grid(x: Tensor, levels: int) -> bool:
    """Whether images are on the grid of pixel levels.

    Args:
        x: Images `(batch, ...)`, pixels in [0,1].
        levels: How many values a component has.

    Returns:
        True where every component is one of 0, 1/(levels-1), ..., 1, up to the tolerance of the images' type.
    """
    scaled = x.to(working_type(x.dtype)) * (levels - 1)
    return bool(((scaled - scaled.round()).abs() < level_slack(levels, x.dtype)).all())


def check_on_grid(x: Tensor, levels: int | None) -> Tensor:
    """Images, checked: on the grid of pixel levels; None is no grid. Raises ContractError, else returns x."""
    if levels is not None and not on_grid(x, levels):
        raise ContractError(
            f"expected images on the grid of {levels} pixel levels, got values between levels; "
            "pass levels=None for continuous data"
        )
    return x


@dataclass(frozen=True)
class PixelGrid:
    """Rounding to the grid of pixel levels inside a ball around x0, which is itself on the grid.

    L-infinity: each component goes to the nearest grid point of [x0 - r, x0 + r]; a radius of 0.3 is 76.5/255, so plain
    rounding would leave the ball. L1 and L2: to the nearest grid point, then the components that rounding moved away from
    x0 step back, those nearest to the middle between two levels first, until the norm holds. L0, or without a ball: to the
    nearest grid point. A component that returns to x0 is exactly x0.

    Attributes:
        levels: Number of levels: 0, 1/(levels - 1), ..., 1.
        x0: Original images `(batch, ...)` in [0,1], on the grid.
        ball: The bound ball around x0, or None.
        exact: Whether x0 is known to be on the grid to the last bit, which saves a comparison per rounding.
    """

    levels: int
    x0: Tensor
    ball: Ball | None = None
    exact: bool = False

    @staticmethod
    def over(levels: int, x0: Tensor) -> PixelGrid:
        """The grid around x0, without a ball; exact where x0 is on it to the bit (not so float32 pixels in float64)."""
        n = levels - 1
        return PixelGrid(levels, x0, exact=torch.equal((x0 * n).round_().div_(n), x0))

    def round(self, x: Tensor) -> Tensor:
        """The grid images for x `(batch, ...)`: in [0,1], and inside the ball wherever x is."""
        n = self.levels - 1
        scaled = x * n
        if self.ball is None or self.ball.norm.p < 1:
            level = scaled.round_()
        elif self.ball.norm is Linf:
            return self._with_x0(scaled.round_().clamp_(*self._bounds).div_(n))
        else:
            level = scaled.round()
            outside = ~self.ball.contains(level.clamp(0, n) / n, self.x0)
            if waits(x):
                back = _step_back(scaled, self.x0 * n, n, self.ball)
                level = torch.where(like(outside, level), back, level)
            elif bool(outside.any()):
                index = outside.nonzero().squeeze(1)
                level[index] = _step_back(scaled[index], self.x0[index] * n, n, self.ball.rows(index))
        return self._with_x0(level.clamp_(0, n).div_(n))

    def _with_x0(self, rounded: Tensor) -> Tensor:
        """Rounded images with x0 itself wherever they are x0 up to float rounding."""
        if self.exact:
            return rounded
        near = min(tolerance(rounded.dtype), 0.5 / (self.levels - 1))
        return torch.where((rounded - self.x0).abs() < near, self.x0, rounded)

    @cached_property
    def _bounds(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest level of each component inside an L-infinity ball and [0,1], made once."""
        assert self.ball is not None
        n = self.levels - 1
        # 8/255 may come as 0.03137255 or one float below 8 levels; half the tolerance: the level is within the whole of it.
        radius = upper_limit(self.ball.scale(self.x0), tolerance(self.x0.dtype) / 2) * n
        centre = self.x0 * n
        return (centre - radius).ceil_().clamp_(0, n), (centre + radius).floor_().clamp_(0, n)


def _step_back(x: Tensor, x0: Tensor, n: int, ball: Ball) -> Tensor:
    """Levels that lie in the ball: the threshold of rounding away from x0 rises from 1/2 to 1 until the norm holds.

    The threshold is bisected per sample. At 1 every component is rounded toward x0, so |q - x0| <= |x - x0| in each of
    them. Below 1, float noise under a grid point still counts as the grid point.

    Args:
        x: Images in levels, `(batch, ...)`, inside the ball.
        x0: Originals in levels.
        n: Number of levels less one.
        ball: The bound ball, in pixel units.

    Returns:
        Levels `(batch, ...)` as floats.
    """
    centre = x0.round()
    distance = (x - centre).abs()
    whole = distance.floor()
    fraction, sign = distance - whole, (x - centre).sign()
    assert isinstance(ball.radius, Tensor)
    low, high = torch.full_like(ball.radius, 0.5), torch.ones_like(ball.radius)

    def rounded(threshold: Tensor) -> Tensor:
        return centre + sign * (whole + (fraction >= like(threshold, x)))

    for _ in range(9):
        middle = (low + high) / 2
        fits = ball.contains(rounded(middle) / n, x0 / n)
        low, high = low.where(fits, middle), high.where(~fits, middle)
    return rounded(high)


def saturated(x: Tensor) -> Tensor:
    """Share of the components of x that are exactly 0 or 1, `(batch,)`."""
    return flat((x == 0) | (x == 1)).float().mean(1)
