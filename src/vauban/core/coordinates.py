"""Charts: the coordinates z an attack optimises in, and the images they stand for.

A chart is bound to a batch by `start(x0)`; `image(z)` is always in [0,1] and `pull(z, g)` is the exact transpose of the
derivative of `image` at z applied to an image gradient g. Order in a space: one chart, then the mask, then box and ball.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from vauban.core.errors import ContractError, UnknownName


class Coordinates(Protocol):
    def start(self, x0: Tensor) -> Tensor: ...
    def image(self, z: Tensor) -> Tensor: ...
    def pull(self, z: Tensor, g: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Squashing:
    """A differentiable u: R -> [-1, 1] with u(0) = 0. value(z) is u; slope(z, u) is u'(z), a new tensor, which the value u
    makes cheap; inverse(u) is the z nearest to 0."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]


def _sigmoid(z: Tensor) -> Tensor:
    return torch.add(z.new_tensor(-1.0), z.sigmoid(), alpha=2)


def _one_minus_square(u: Tensor) -> Tensor:
    return torch.addcmul(u.new_ones(()), u, u, value=-1)


CURVES: dict[str, Squashing] = {
    # not torch.tanh, which takes four times as long on a CPU
    "tanh": Squashing(lambda z: _sigmoid(2 * z), lambda z, u: _one_minus_square(u), torch.atanh),
    # 2 (sigmoid(z) - 1/2) = tanh(z / 2)
    "sigmoid": Squashing(_sigmoid, lambda z, u: _one_minus_square(u).mul_(0.5), lambda u: torch.atanh(u).mul_(2)),
    # the sine has no value at infinity: the centre
    "sin": Squashing(
        lambda z: torch.sin(z).masked_fill_(z.isinf(), 0),
        lambda z, u: torch.cos(z).masked_fill_(z.isinf(), 0),
        torch.asin,
    ),
}
"""g1, g2 and g3 of the centered initial attack (2018), section 2."""


@dataclass(frozen=True, eq=False)
class IntervalCoordinates:
    """image(z) = c + h u(z) with c = (lo + hi)/2, h = (hi - lo)/2 and a curve u: bounded by construction.

    lo and hi in [0,1] are two numbers, or tensors of the images' dtype and device that broadcast against the batch; those
    with its shape follow it when rows are dropped. `curve` is tanh, sigmoid (2 (sigmoid(z) - 1/2)) or sin.
    `start_at="centre"` begins at z = 0 (CIA), `start_at="image"` at the original (Carlini and Wagner's box, lo = 0 and
    hi = 1), shrunk by 1e-6 of h so that a component at an edge keeps a gradient. A last clamp to [lo, hi] makes the bound
    exact in floating point. Raises UnknownName for a curve, and ContractError from `start` unless 0 <= lo <= hi <= 1.
    """

    lo: float | Tensor = 0.0
    hi: float | Tensor = 1.0
    start_at: Literal["centre", "image"] = "image"
    curve: str = "tanh"
    shrink: float = 1e-6

    def __post_init__(self) -> None:
        if self.curve not in CURVES:
            raise UnknownName("curve", self.curve, CURVES)

    @staticmethod
    def around(
        x0: Tensor,
        radius: Tensor,
        low: float | Tensor = 0.0,
        high: float | Tensor = 1.0,
        mask: Tensor | None = None,
        start_at: Literal["centre", "image"] = "image",
        curve: str = "tanh",
    ) -> IntervalCoordinates:
        """[x0 - radius, x0 + radius] cut by [low, high], all of the batch's shape; masked components stay at x0."""
        low, high = (torch.as_tensor(edge, dtype=x0.dtype, device=x0.device) for edge in (low, high))
        lo, hi = torch.maximum(x0 - radius, low), torch.minimum(x0 + radius, high)
        if mask is not None:
            lo, hi = torch.where(mask, lo, x0), torch.where(mask, hi, x0)
        return IntervalCoordinates(lo, hi, start_at, curve)

    @cached_property
    def _centre(self) -> float | Tensor:
        return (self.lo + self.hi) / 2

    @cached_property
    def _half(self) -> float | Tensor:
        return (self.hi - self.lo) / 2

    def start(self, x0: Tensor) -> Tensor:
        lo, hi = (torch.as_tensor(edge, dtype=x0.dtype, device=x0.device) for edge in (self.lo, self.hi))
        if not bool((lo <= hi).all()):
            raise ContractError("expected lo <= hi in every component of an interval")
        low, high = float(lo.min()), float(hi.max())
        if low < 0 or high > 1:
            raise ContractError(f"expected an interval inside [0, 1], got [{low:.4g}, {high:.4g}]")
        if self.start_at == "centre":
            return torch.zeros_like(x0)
        half = (hi - lo) / 2
        u = (x0 - (lo + hi) / 2) / half.where(half > 0, torch.ones_like(half))
        return CURVES[self.curve].inverse(u.clamp(-1, 1) * (1 - self.shrink))

    def value(self, z: Tensor) -> Tensor:
        """u(z), which `place` and `pull` share."""
        return CURVES[self.curve].value(z)

    def place(self, u: Tensor) -> Tensor:
        """The image for a value of the curve."""
        lo, hi, centre, half = self.lo, self.hi, self._centre, self._half
        if isinstance(centre, Tensor) and isinstance(half, Tensor):
            x = torch.addcmul(centre, half, u)
            return x.clamp_(torch.as_tensor(lo).to(x), torch.as_tensor(hi).to(x))
        return torch.add(u.new_tensor(centre), u, alpha=float(half)).clamp_(float(lo), float(hi))

    def image(self, z: Tensor) -> Tensor:
        return self.place(self.value(z))

    def pull(self, z: Tensor, g: Tensor, u: Tensor | None = None) -> Tensor:
        """g h u'(z); u = `value(z)` where it is at hand."""
        return CURVES[self.curve].slope(z, self.value(z) if u is None else u).mul_(self._half).mul_(g)
