"""Coordinates z in which an attack optimises, and the images they stand for.

`start(x0)` binds them to a batch; `image(z)` is always in [0,1]; `pull(z, g)` is the exact transpose of the derivative of
`image` at z, applied to an image gradient g. A domain applies them first, then its mask, then box and ball.
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
    """What coordinates offer; z, images and gradients are `(batch, ...)`."""

    def start(self, x0: Tensor) -> Tensor:
        """The z that an attack on the images x0 begins with."""
        ...

    def image(self, z: Tensor) -> Tensor:
        """The images in [0,1] that z stands for."""
        ...

    def pull(self, z: Tensor, g: Tensor) -> Tensor:
        """The gradient with respect to z where that with respect to `image(z)` is g."""
        ...


@dataclass(frozen=True)
class Squashing:
    """A differentiable function u: R -> [-1, 1] with u(0) = 0.

    Attributes:
        value: z -> u(z).
        slope: (z, u(z)) -> u'(z), a new tensor; the value makes it cheap.
        inverse: u -> the z nearest to 0 with that value.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]


def _sigmoid(z: Tensor) -> Tensor:
    """2 sigmoid(z) - 1."""
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
    """Coordinates of an interval: image(z) = c + h u(z) with c = (lo + hi)/2, h = (hi - lo)/2, bounded by construction.

    A last clamp to [lo, hi] makes the bound exact in floating point.

    Attributes:
        lo: Lower end in [0,1]: a number, or a tensor of the images' type and device that broadcasts against the batch; one
            of its shape follows it when rows are dropped.
        hi: Upper end, likewise.
        start_at: "centre" begins at z = 0 (CIA), "image" at the original (the box of Carlini and Wagner, lo = 0, hi = 1).
        curve: The function u: `tanh`, `sigmoid` (2 (sigmoid(z) - 1/2)) or `sin`.
        shrink: Part of h by which a start at the image is moved inward, so that a component at an end keeps a gradient.

    Raises:
        UnknownName: There is no such curve.
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
        """Coordinates of [x0 - radius, x0 + radius] cut by [low, high].

        Args:
            x0: Original images `(batch, ...)` in [0,1].
            radius: Half the width of the interval, in pixel units, of any shape that broadcasts against x0.
            low: Lower end that the interval is cut by.
            high: Upper end.
            mask: Components that may change, bool of any shape that broadcasts against x0; the others stay at x0.
            start_at: As of the class.
            curve: As of the class.
        """
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
        """The first z `(batch, ...)`. Raises ContractError unless 0 <= lo <= hi <= 1."""
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
        """The value u(z) of the curve, which `place` and `pull` share."""
        return CURVES[self.curve].value(z)

    def place(self, u: Tensor) -> Tensor:
        """The images for values u of the curve."""
        lo, hi, centre, half = self.lo, self.hi, self._centre, self._half
        if isinstance(centre, Tensor) and isinstance(half, Tensor):
            x = torch.addcmul(centre, half, u)
            return x.clamp_(torch.as_tensor(lo).to(x), torch.as_tensor(hi).to(x))
        return torch.add(u.new_tensor(centre), u, alpha=float(half)).clamp_(float(lo), float(hi))

    def image(self, z: Tensor) -> Tensor:
        """The images in [lo, hi] that z stands for."""
        return self.place(self.value(z))

    def pull(self, z: Tensor, g: Tensor, u: Tensor | None = None) -> Tensor:
        """The gradient g h u'(z) with respect to z; u is `value(z)` where it is at hand."""
        return CURVES[self.curve].slope(z, self.value(z) if u is None else u).mul_(self._half).mul_(g)
