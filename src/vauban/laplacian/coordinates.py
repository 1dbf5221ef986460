"""Coordinates of perturbations that are smooth like the image they perturb."""

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
    """Coordinates image(z) = clip(x0 + s(z), 0, 1) with s the smoothing guided by x0 and z_0 = 0 (4.13, 4.14).

    An attack that follows its solves calls `value(z, start)`, `place` and `adjoint(r, g, start)`: the first and the last
    return Solutions, whose values start the next ones; `image` and `pull` solve from zero. Thesis of H. Zhang, chapter 4.
    Rows are dropped by `tensors.take`, without factorising again. z, r, g and images have the shape of x0.

    Attributes:
        x0: Original images `(batch, channel, height, width)` in [0,1], the guide.
        alpha: Strength of the smoothing, as of `Smoothing.of`.
        kernel: The graph of the images.
        tol: Relative residual of an iterative solve.
        limit: Most iterations of one.
        method: The solver.
        smoothing: Built from the rest unless given.

    Raises:
        ContractError: As `Smoothing.of` does.
    """

    x0: Tensor
    alpha: float = 0.997
    kernel: Kernel = PHOTOGRAPHS
    tol: float = 1e-4
    limit: int = 500
    method: Literal["auto", "direct", "iterative"] = "auto"
    smoothing: Smoothing = field(default=cast(Smoothing, None), repr=False)

    def __post_init__(self) -> None:
        if cast("Smoothing | None", self.smoothing) is None:
            built = Smoothing.of(self.x0, self.alpha, self.kernel, tol=self.tol, limit=self.limit, method=self.method)
            object.__setattr__(self, "smoothing", built)

    def start(self, x0: Tensor) -> Tensor:
        """z_0 = 0. Raises ContractError for images of another shape than the guide's."""
        if x0.shape != self.x0.shape:
            raise ContractError(
                f"expected the images that guide the smoothing, {tuple(self.x0.shape)}, got {tuple(x0.shape)}"
            )
        return torch.zeros_like(x0)

    def value(self, z: Tensor, start: Tensor | None = None) -> Solution:
        """The perturbation s(z) before the clip; conjugate gradient goes on from `start`, a value of this function."""
        return self.smoothing.apply(z, start)

    def place(self, r: Tensor) -> Tensor:
        """The images for a perturbation r."""
        return (self.x0 + r).clamp_(0, 1)

    def adjoint(self, r: Tensor, g: Tensor, start: Tensor | None = None) -> Solution:
        """Transpose of the derivative of `image`, at the z whose perturbation is r, applied to an image gradient g."""
        x = self.x0 + r
        return self.smoothing.pull(g * ((x >= 0) & (x <= 1)), start)

    def image(self, z: Tensor) -> Tensor:
        """The images in [0,1] that z stands for."""
        return self.place(self.value(z).value)

    def pull(self, z: Tensor, g: Tensor) -> Tensor:
        """The gradient with respect to z where that with respect to `image(z)` is g."""
        return self.adjoint(self.value(z).value, g).value
