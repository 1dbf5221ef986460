"""Charts: the coordinates z an attack optimises in, and the images they stand for.

A chart is bound to a batch by `start(x0)`; `image(z)` is always in [0,1] and `pull(z, g)` is the exact transpose of the
derivative of `image` at z applied to an image gradient g. Order in a space: one chart, then the mask, then box and ball.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from vauban.core.errors import ContractError


class Chart(Protocol):
    def start(self, x0: Tensor) -> Tensor: ...
    def image(self, z: Tensor) -> Tensor: ...
    def pull(self, z: Tensor, g: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Plain:
    """Coordinates are pixels, clipped to [0,1]."""

    def start(self, x0: Tensor) -> Tensor:
        return x0.clone()

    def image(self, z: Tensor) -> Tensor:
        return z.clamp(0, 1)

    def pull(self, z: Tensor, g: Tensor) -> Tensor:
        return g * ((z >= 0) & (z <= 1))


@dataclass(frozen=True, eq=False)
class Interval:
    """image(z) = c + h tanh(z) with c = (lo + hi)/2 and h = (hi - lo)/2: bounded by construction.

    lo and hi are scalars or tensors that broadcast against the batch. `start_at="centre"` begins at z = 0 (CIA),
    `start_at="image"` at the original (Carlini and Wagner's box, lo = 0 and hi = 1), shrunk by 1e-6 of h so that a
    component at an edge keeps a gradient. A last clamp to [lo, hi] makes the bound exact in floating point.
    """

    lo: float | Tensor = 0.0
    hi: float | Tensor = 1.0
    start_at: Literal["centre", "image"] = "image"
    shrink: float = 1e-6

    def _half(self) -> float | Tensor:
        return (self.hi - self.lo) / 2

    def start(self, x0: Tensor) -> Tensor:
        lo, hi = torch.as_tensor(self.lo), torch.as_tensor(self.hi)
        if bool((lo > hi).any()):
            raise ContractError("expected lo <= hi in every component of an interval")
        if self.start_at == "centre":
            return torch.zeros_like(x0)
        half = torch.as_tensor(self._half(), dtype=x0.dtype, device=x0.device)
        r = (x0 - (self.hi + self.lo) / 2) / half.where(half > 0, torch.ones_like(half))
        return torch.atanh(r.clamp(-1, 1) * (1 - self.shrink))

    def image(self, z: Tensor) -> Tensor:
        x = (self.hi + self.lo) / 2 + self._half() * torch.tanh(z)
        lo = torch.as_tensor(self.lo, dtype=z.dtype, device=z.device)
        hi = torch.as_tensor(self.hi, dtype=z.dtype, device=z.device)
        return torch.minimum(torch.maximum(x, lo), hi)

    def pull(self, z: Tensor, g: Tensor) -> Tensor:
        return g * self._half() * (1 - torch.tanh(z).square())
