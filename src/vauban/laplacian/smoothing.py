"""Laplacian smoothing guided by an image: a signal becomes smooth where the image is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vauban.core.errors import ContractError
from vauban.laplacian.conjugate_gradient import Chessboard, conjugate_gradient
from vauban.laplacian.nested_dissection import Dissection
from vauban.laplacian.stencil import Solution, Stencil

DIRECT_SIDE = 320
"""Images whose shorter side is at most this are factorised: a direct solve takes less than half the time of conjugate
gradient and the same for every image. Longer ones would take more than 35 MB each in float32 (17 MB at 224)."""


@dataclass(frozen=True)
class Kernel:
    """The graph of an image: w_ij = k(x_i, x_j) between each pixel and its four neighbours, 0 otherwise (4.1).

    A flat image has all weights 1; a single pixel has none. Chapter 4 of the thesis of H. Zhang (Deep learning in
    adversarial context, Rennes 2021), which prints neither kernel widths nor neighbourhood; see PHOTOGRAPHS and DIGITS.

    Attributes:
        shape: k is exp(-rate ||x_i - x_j||^2) for "gaussian" and exp(-rate ||x_i - x_j||) for "laplacian", on values in
            [0,1].
        rate: How fast a weight falls with the difference.
        channels: "joint" takes the Euclidean distance over channels, "each" makes one graph per channel.
        floor: Smallest row sum in D of D^-1/2 W D^-1/2: a pixel unlike all its neighbours is isolated and smoothing leaves
            it as it is, where 0 would tie it to the least different one.

    Raises:
        ContractError: A field has no such value.
    """

    shape: Literal["gaussian", "laplacian"] = "gaussian"
    rate: float = 300.0
    channels: Literal["joint", "each"] = "joint"
    floor: float = 1e-12

    def __post_init__(self) -> None:
        if self.shape not in ("gaussian", "laplacian"):
            raise ContractError(f"expected kernel shape 'gaussian' or 'laplacian', got {self.shape!r}")
        if self.channels not in ("joint", "each"):
            raise ContractError(f"expected channels 'joint' or 'each', got {self.channels!r}")
        for name in ("rate", "floor"):
            if not (0 <= getattr(self, name) < math.inf):
                raise ContractError(f"expected a finite {name} >= 0 of a kernel, got {getattr(self, name)}")

    def weights(self, x: Tensor) -> Stencil:
        """Normalised weights D^-1/2 W D^-1/2 of images x `(batch, channel, height, width)`, D the row sums of W."""
        exact = x.double()
        right = self._log(exact[..., 1:] - exact[..., :-1])
        down = self._log(exact[..., 1:, :] - exact[..., :-1, :])
        none = -math.inf
        sides = [F.pad(right, pad, value=none) for pad in ((1, 0), (0, 1))]
        sides += [F.pad(down, (0, 0, *pad), value=none) for pad in ((1, 0), (0, 1))]
        # in logarithms: a difference of 1 at rate 300 is a weight of 1e-131
        half = torch.stack(sides).logsumexp(0).clamp_min(math.log(self.floor) if self.floor else none) / 2
        right = (right - half[..., 1:] - half[..., :-1]).exp_()
        down = (down - half[..., 1:, :] - half[..., :-1, :]).exp_()
        return Stencil(right.to(x.dtype), down.to(x.dtype))

    def _log(self, difference: Tensor) -> Tensor:
        """Logarithms of the weights w_ij for differences x_i - x_j."""
        square = difference.square()
        if self.channels == "joint":
            square = square.sum(1, keepdim=True)
        return -self.rate * (square if self.shape == "gaussian" else square.sqrt())


PHOTOGRAPHS, DIGITS = Kernel(), Kernel(rate=10.0)
"""The kernels of the source's two settings, with alpha 0.997 and 0.95."""


@dataclass(frozen=True, eq=False)
class Smoothing:
    """Smoothing s(z) = diag(p)^-1 A^-1 z with A = I - alpha D^-1/2 W D^-1/2 and p = A^-1 1: rows sum to one (4.4, 4.5).

    Built by `Smoothing.of(x0, alpha, ...)`. H. Zhang's thesis, chapter 4; the factor 1 - alpha of (4.4) cancels. `apply`
    is s, `pull` its transpose g -> A^-1 (g / p) (divide, then smooth): one solve of A each, and no derivative is taken
    through iterations. Both return a Solution whose `converged` is false in the rows that missed the tolerance; its value
    is then the last iterate, a finite signal less smooth than asked for. Neither is recorded by autograd. Fields lead with
    the batch, so `tensors.take` drops rows.

    Attributes:
        stencil: The weights of alpha D^-1/2 W D^-1/2.
        factor: What solves the system: a factorisation, or the matrix by colour for conjugate gradient.
        p: A^-1 1, `(batch, groups, height, width)`.
        settled: Whether p meets the tolerance, `(batch,)`.
        tol: Relative residual of an iterative solve.
        limit: Most iterations of one.
    """

    stencil: Stencil
    factor: Dissection | Chessboard
    p: Tensor
    settled: Tensor
    tol: float
    limit: int

    @staticmethod
    @torch.no_grad()
    def of(
        x0: Tensor,
        alpha: float,
        kernel: Kernel = PHOTOGRAPHS,
        *,
        tol: float = 1e-4,
        limit: int = 500,
        method: Literal["auto", "direct", "iterative"] = "auto",
    ) -> Smoothing:
        """Smoothing guided by images.

        Args:
            x0: The guide, `(batch, channel, height, width)` in [0,1].
            alpha: Strength in [0, 1): 0 is the identity, near 1 a strict low-pass.
            kernel: The graph of the guide.
            tol: Relative residual of an iterative solve (p ten times closer). Residuals below eps / (1 - alpha) are out of
                the reach of a floating-point type.
            limit: Most iterations of one.
            method: "direct" factorises, which takes the time of about 20 solves; "iterative" is conjugate gradient; "auto"
                factorises images whose shorter side is at most DIRECT_SIDE pixels.

        Raises:
            ContractError: The guide is no batch of images, a parameter has no such value, or alpha is closer to 1 than the
                type of x0 can tell.
        """
        if not 0 <= alpha < 1:
            raise ContractError(f"expected alpha in [0, 1) for smoothing, got {alpha}; 0 leaves the signal as it is")
        if x0.dim() != 4 or not x0.is_floating_point() or 0 in x0.shape[1:]:
            raise ContractError(
                f"expected float images (batch, channel, height, width) as guide, got {x0.dtype} {tuple(x0.shape)}"
            )
        if 1 - alpha < 16 * torch.finfo(x0.dtype).eps:
            raise ContractError(
                f"expected a smoothness whose distance to 1 exceeds the rounding of {x0.dtype}, got {1 - alpha:.1e}; "
                "use float64 images"
            )
        if method not in ("auto", "direct", "iterative"):
            raise ContractError(f"expected method 'auto', 'direct' or 'iterative', got {method!r}")
        if not tol > 0 or limit < 1:
            raise ContractError(f"expected tol > 0 and limit >= 1 for smoothing, got {tol} and {limit}")
        graph = kernel.weights(x0)
        stencil = Stencil(alpha * graph.right, alpha * graph.down)
        direct = method == "direct" or (method == "auto" and min(x0.shape[2:]) <= DIRECT_SIDE)
        factor = Dissection.of(stencil) if direct else Chessboard.of(stencil)
        ones = x0.new_ones(len(x0), stencil.right.shape[1], *x0.shape[2:])
        sharp = max(tol / 10, 16 * torch.finfo(x0.dtype).eps)
        p = _solve(stencil, factor, ones, None, sharp, 2 * limit)
        # A^-1 = I + S + S^2 + ... >= I, which an iterate may miss
        return Smoothing(stencil, factor, p.value.clamp_min(1), p.residual <= max(tol, sharp), tol, limit)

    @torch.no_grad()
    def apply(self, z: Tensor, start: Tensor | None = None) -> Solution:
        """The smoothed signal s(z).

        Args:
            z: A signal of the guide's shape.
            start: A previous value of this function, from which conjugate gradient goes on.

        Raises:
            ContractError: z has another shape.
        """
        self._check(z)
        solution = self._solve(z, None if start is None else start * self.p)
        return solution._replace(value=solution.value / self.p)

    @torch.no_grad()
    def pull(self, g: Tensor, start: Tensor | None = None) -> Solution:
        """The transpose of s applied to g, of the guide's shape; `start` and errors as of `apply`."""
        self._check(g)
        return self._solve(g / self.p, start)

    def _check(self, v: Tensor) -> None:
        batch, groups, *size = self.p.shape
        if v.dim() != 4 or v.shape != (batch, v.shape[1] if groups == 1 else groups, *size):
            raise ContractError(
                f"expected a signal of the guide's shape ({batch}, channel, {size[0]}, {size[1]}), got {tuple(v.shape)}"
            )

    def _solve(self, b: Tensor, start: Tensor | None) -> Solution:
        """A^-1 b, of right-hand sides scaled to a largest component of 1."""
        # gradients may be so small that their squares are zero
        size = b.abs().amax((2, 3), keepdim=True)
        size = torch.where(size > 0, size, 1)
        start = None if start is None else start / size
        solution = _solve(self.stencil, self.factor, b / size, start, self.tol, self.limit)
        return solution._replace(value=solution.value * size, converged=solution.converged & self.settled)


def _solve(
    stencil: Stencil, factor: Dissection | Chessboard, b: Tensor, start: Tensor | None, tol: float, limit: int
) -> Solution:
    """(I - S)^-1 b by the factorisation, or by conjugate gradient from `start`."""
    if isinstance(factor, Dissection):
        return stencil.solution(factor.solve(b), b, tol)
    return conjugate_gradient(stencil, factor, b, start, tol, limit)
