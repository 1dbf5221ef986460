"""Images as they can be saved: rounding to the grid of pixel levels without leaving the ball."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.core.norms import Ball, Linf
from vauban.core.tensors import flat, like

TOLERANCE = 1e-3  # in levels: far above float32 noise, far below a level


def on_lattice(x: Tensor, levels: int) -> bool:
    """Whether every component of x is one of the `levels` values 0, 1/(levels-1), ..., 1."""
    scaled = x * (levels - 1)
    return bool(((scaled - scaled.round()).abs() < TOLERANCE).all())


@dataclass(frozen=True)
class Lattice:
    """Rounding inside a ball around x0, which is itself on the grid.

    L-infinity: each component goes to the nearest grid point of [x0-r, x0+r]: a radius of 0.3 is 76.5/255, so naive
    rounding leaves the ball. L1 and L2: nearest grid point, then the components that rounding moved away from x0
    step back, those nearest to the middle between two levels first, until the norm holds. Without a ball, or for L0,
    nearest grid point.
    """

    levels: int
    x0: Tensor
    ball: Ball | None = None

    def rows(self, index: Tensor) -> Lattice:
        return Lattice(self.levels, self.x0[index], self.ball.rows(index) if self.ball else None)

    def round(self, x: Tensor) -> Tensor:
        """The grid image for x: in [0,1], and inside the ball whenever x is."""
        n = self.levels - 1
        if self.ball is None:
            return (x * n).round_().clamp_(0, n).div_(n)
        if self.ball.norm is Linf:
            r = self.ball.scale(x) * n + TOLERANCE
            centre = self.x0 * n
            k = torch.minimum(torch.maximum((x * n).round_(), (centre - r).ceil_()), (centre + r).floor_())
            return k.clamp_(0, n).div_(n)
        nearest = (x * n).round().clamp_(0, n)
        outside = ~self.ball.contains(nearest / n, self.x0)
        if self.ball.norm.p >= 1 and bool(outside.any()):
            index = outside.nonzero().squeeze(1)
            nearest[index] = _step_back(x[index] * n, self.x0[index] * n, n, self.ball.rows(index))
        return nearest / n


def _step_back(x: Tensor, x0: Tensor, n: int, ball: Ball) -> Tensor:
    """Raise the threshold of rounding away from x0 from 1/2 to 1, per sample by bisection, until the norm holds.

    At threshold 1 every component is rounded toward x0, so |q - x0| <= |x - x0| componentwise.
    """
    d = (x - x0.round()).abs()
    down, part = d.floor(), d - d.floor()
    down = down + (part > 1 - TOLERANCE)  # float noise below a grid point counts as the grid point
    part = part.where(part <= 1 - TOLERANCE, torch.zeros_like(part))
    sign = (x - x0).sign()
    assert isinstance(ball.radius, Tensor)
    low, high = torch.full_like(ball.radius, 0.5), torch.ones_like(ball.radius)

    def rounded(threshold: Tensor) -> Tensor:
        return x0.round() + sign * (down + (part >= like(threshold, x)))

    for _ in range(8):
        middle = (low + high) / 2
        fits = ball.norm.size((rounded(middle) - x0) / n) <= ball.radius
        low, high = low.where(fits, middle), high.where(~fits, middle)
    return rounded(high).clamp(0, n)


def saturated(x: Tensor) -> Tensor:
    """Share of components at exactly 0 or 1, `(batch,)`."""
    return flat((x == 0) | (x == 1)).float().mean(1)
