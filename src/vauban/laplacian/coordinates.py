"""The chart of perturbations that are smooth like the image they perturb."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.laplacian.smoothing import PHOTOGRAPHS, Kernel, Smoothing
from vauban.laplacian.stencil import Solution


@dataclass(frozen=True, eq=False)
class SmoothCoordinates:
    """image(z) = clip(x0 + s(z), 0, 1) with s the smoothing guided by x0 and z_0 = 0 (4.13, 4.14).

    `alpha`, `kernel`, `tol`, `limit` and `method` as in `Smoothing.of`, which x0 `(batch, channel, height, width)` in [0,1]
    goes to once. An attack that follows its solves calls `value(z, start)`, `place` and `adjoint(r, g, start)`: they
    return Solutions, whose values start the next ones; `image` and `pull` solve from zero. Thesis of H. Zhang, chapter 4.
    Rows are dropped by `tensors.take`, without factorising again. Raises ContractError as `Smoothing.of` does, and where
    `start` meets other images than x0's shape.
    """

    x0: Tensor
    alpha: float = 0.997
    kernel: Kernel = PHOTOGRAPHS
    tol: float = 1e-4
    limit: int = 500
    method: Literal["auto", "direct", "iterative"] = "auto"
    smoothing: Smoothing = field(default=cast(Smoothing, None), repr=False)  # built from the rest unless given

    def __post_init__(self) -> None:
        if cast("Smoothing | None", self.smoothing) is None:
            found = Smoothing.of(self.x0, self.alpha, self.kernel, tol=self.tol, limit=self.limit, method=self.method)
            object.__setattr__(self, "smoothing", found)

    def start(self, x0: Tensor) -> Tensor:
        if x0.shape != self.x0.shape:
            raise ContractError(f"expected the images of the chart, {tuple(self.x0.shape)}, got {tuple(x0.shape)}")
        return torch.zeros_like(x0)

    def value(self, z: Tensor, start: Tensor | None = None) -> Solution:
        """The perturbation s(z) before the clip."""
        return self.smoothing.apply(z, start)

    def place(self, r: Tensor) -> Tensor:
        """The image for a perturbation."""
        return (self.x0 + r).clamp_(0, 1)

    def adjoint(self, r: Tensor, g: Tensor, start: Tensor | None = None) -> Solution:
        """The transpose of the derivative of `image`, at the z whose perturbation is r, applied to g."""
        x = self.x0 + r
        return self.smoothing.pull(g * ((x >= 0) & (x <= 1)), start)

    def image(self, z: Tensor) -> Tensor:
        return self.place(self.value(z).value)

    def pull(self, z: Tensor, g: Tensor) -> Tensor:
        return self.adjoint(self.value(z).value, g).value
