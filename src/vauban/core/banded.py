"""The exact factorisation of a grid system, for images small enough to store it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.core.stencil import Stencil


@dataclass(frozen=True, eq=False)
class Banded:
    """I - S as block tridiagonal matrix over the rows of the image, whose off-diagonal blocks are diagonal.

    `inverse (batch, groups, height, width, width)` holds P_i = (T_i - E_i P_{i-1} E_i)^-1, T_i the block of row i and
    E_i = diag(down_{i-1}): height x width^2 numbers per image where the dense inverse has height^2 x width^2. `down
    (batch, groups, height - 1, width)` are the E_i. A solve is two sweeps over the rows.
    """

    inverse: Tensor
    down: Tensor
    turned: bool

    @staticmethod
    def of(stencil: Stencil) -> Banded:
        """Factor in float64, stored in the weights' type; blocks span the shorter side of the image."""
        right, down = stencil.right, stencil.down
        turned = down.shape[-1] > right.shape[-2]
        if turned:
            right, down = down.mT, right.mT
        height, width = right.shape[-2], down.shape[-1]
        inverse = right.new_empty(*right.shape[:2], height, width, width)
        eye = torch.eye(width, dtype=torch.float64, device=right.device)
        previous = eye
        for i in range(height):
            row = torch.diag_embed(right[..., i, :].double(), 1)
            block = eye - row - row.mT
            if i:
                e = down[..., i - 1, :].double()
                block -= e[..., :, None] * previous * e[..., None, :]
            previous = torch.cholesky_inverse(torch.linalg.cholesky(block))
            inverse[..., i, :, :] = previous
        return Banded(inverse, down.contiguous(), turned)

    def solve(self, b: Tensor) -> Tensor:
        """(I - S)^-1 b for b `(batch, channel, height, width)`."""
        inverse, down = self.inverse.flatten(0, 1), self.down.flatten(0, 1)[..., None]
        b = b.mT if self.turned else b
        systems, height = len(inverse), inverse.shape[1]
        # (height, system, width, right-hand sides): each sweep reads whole matrices
        rows = b.reshape(systems, b.shape[1] // self.inverse.shape[1], *b.shape[2:]).permute(2, 0, 3, 1)
        y = torch.empty(rows.shape, dtype=b.dtype, device=b.device)
        torch.bmm(inverse[:, 0], rows[0], out=y[0])
        for i in range(1, height):
            torch.bmm(inverse[:, i], torch.addcmul(rows[i], down[:, i - 1], y[i - 1]), out=y[i])
        for i in range(height - 2, -1, -1):
            y[i].baddbmm_(inverse[:, i], down[:, i] * y[i + 1])
        out = y.permute(1, 3, 0, 2).reshape(b.shape)
        return out.mT if self.turned else out
