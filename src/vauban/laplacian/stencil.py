"""Linear systems on the pixel grid: (I - S) y = b, where S couples each pixel with its four neighbours.

Weights are `right (batch, groups, height, width - 1)`, between a pixel and the next of its row, and `down (batch, groups,
height - 1, width)`; groups is 1 (all channels share a graph) or the number of channels. They are non-negative and the
eigenvalues of S lie in (-1, 1), so the matrix is positive definite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Solution(NamedTuple):
    """A solved system.

    Attributes:
        value: y `(batch, channel, height, width)`.
        residual: The largest ||b - (I - S) y|| / ||b|| over channels, computed from the value (0 for b = 0), `(batch,)`.
        converged: Whether the residual meets the tolerance, `(batch,)`.
        iterations: Iterations taken, 0 for a direct solve, int64 `(batch,)`.
    """

    value: Tensor
    residual: Tensor
    converged: Tensor
    iterations: Tensor


@dataclass(frozen=True, eq=False)
class Stencil:
    """The weights of S.

    Attributes:
        right: Between a pixel and the next of its row, `(batch, groups, height, width - 1)`.
        down: Between a pixel and the one below, `(batch, groups, height - 1, width)`.
    """

    right: Tensor
    down: Tensor

    def product(self, v: Tensor) -> Tensor:
        """(I - S) v for v `(batch, channel, height, width)`."""
        out = v.clone()
        out[..., 1:].addcmul_(self.right, v[..., :-1], value=-1)
        out[..., :-1].addcmul_(self.right, v[..., 1:], value=-1)
        out[..., 1:, :].addcmul_(self.down, v[..., :-1, :], value=-1)
        out[..., :-1, :].addcmul_(self.down, v[..., 1:, :], value=-1)
        return out

    def solution(self, y: Tensor, b: Tensor, tol: float, iterations: Tensor | None = None) -> Solution:
        """y as a Solution with its true residual.

        Args:
            y: What a solver returned, `(batch, channel, height, width)`.
            b: The right-hand sides.
            tol: Relative residual up to which it counts as converged.
            iterations: Iterations taken, `(batch,)`; None for none.
        """
        residual = _relative(norm(b - self.product(y)), norm(b)).amax(1)
        count = torch.zeros(len(b), dtype=torch.long, device=b.device) if iterations is None else iterations
        return Solution(y, residual, residual <= tol, count)


def norm(a: Tensor) -> Tensor:
    """L2 norm per sample and channel, `(batch, channel)`."""
    size: Tensor = torch.linalg.vector_norm(a.flatten(2), dim=2)
    return size


def _relative(size: Tensor, of: Tensor) -> Tensor:
    """size / of, and size itself where `of` is zero."""
    return torch.where(of == 0, size, size / of)
