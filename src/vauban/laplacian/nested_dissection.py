"""Nested dissection: the exact factorisation of a grid system."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.laplacian.elimination import EliminationPlan
from vauban.laplacian.stencil import Stencil

TOGETHER = 2**18  # pixels of the images that are factored together: their fronts in float64 take much memory


@dataclass(frozen=True, eq=False)
class Dissection:
    """I - S with its pixels eliminated in fronts: the insides of tiles, then the lines between two tiles, four, and so on.

    A front has s pixels of its own and touches b others, its ring, that are eliminated later. George 1973 (SIAM J.
    Numerical Analysis 10, nested dissection of a regular finite element mesh); Duff and Reid 1983 (multifrontal).

    Attributes:
        fronts: For each level [P, -P R] `(batch, groups, number, s, s + b)`, with P `(s, s)` the inverse of the front's
            block when its turn has come and R `(s, b)` its coupling to the ring: about 8 pixels x log2 side numbers per
            image.
        plan: The order of elimination.
    """

    fronts: tuple[Tensor, ...]
    plan: EliminationPlan

    @staticmethod
    def of(stencil: Stencil) -> Dissection:
        """The factorisation of a system, computed in float64, a few images at a time, and kept in the weights' type."""
        groups, height, width = stencil.down.shape[1], stencil.right.shape[2], stencil.down.shape[3]
        plan = EliminationPlan.of(height, width, stencil.right.device)
        images = max(1, TOGETHER // (groups * height * width))
        chunks = zip(torch.split(stencil.right, images), torch.split(stencil.down, images), strict=True)
        factors = [_factor(plan, right, down) for right, down in chunks]
        return Dissection(tuple(torch.cat(level) for level in zip(*factors, strict=True)), plan)

    def solve(self, b: Tensor) -> Tensor:
        """The solution (I - S)^-1 b for b `(batch, channel, height, width)`, of the same shape."""
        groups, (height, width) = self.fronts[0].shape[1], b.shape[2:]
        systems, sides = len(b) * groups, b.shape[1] // groups
        y = self.plan.frame(b).reshape(systems, sides, self.plan.rows * self.plan.columns).mT.contiguous()
        for level, front in zip(self.plan.levels, self.fronts, strict=True):
            own = _read(y, level.pixels[:, : level.own])
            added = _times(front[..., level.own :].flatten(0, 1).mT, own)
            # fronts of one colour share no pixel: nothing is added twice at one place
            for ring, half in zip(level.rings, torch.split(added, level.halves, 1), strict=True):
                _write(y, ring, _read(y, ring).add_(half))
        for level, front in zip(self.plan.levels[::-1], self.fronts[::-1], strict=True):
            _write(y, level.pixels[:, : level.own], _times(front.flatten(0, 1), _read(y, level.pixels)))
        out = y.mT.reshape(len(b), b.shape[1], self.plan.rows, self.plan.columns)
        return out[..., 1 : 1 + height, 1 : 1 + width]


def _factor(plan: EliminationPlan, right: Tensor, down: Tensor) -> list[Tensor]:
    """The fronts, level by level: each adds up what its children leave to it, and leaves a Schur complement to its parent.

    Args:
        plan: The order of elimination.
        right: Weights of the horizontal edges, `(batch, groups, height, width - 1)`.
        down: Weights of the vertical edges, `(batch, groups, height - 1, width)`.
    """
    # edges of the framed grid: to the right of each pixel, then below it
    edges = torch.cat([plan.frame(right).flatten(2), plan.frame(down).flatten(2)], 2).double()
    fronts: list[Tensor] = []
    complement = edges.new_zeros(*edges.shape[:2], 1, 0, 0)
    for level in plan.levels:
        s, n = level.own, level.pixels.shape[1]
        front = edges.new_zeros(*edges.shape[:2], len(level.pixels), n, n)
        for k, (there, here) in enumerate(level.children):
            if complement.shape[-1]:
                child = complement[:, :, level.child[k]]
                front[..., there[:, None], there] += child[..., here[:, None], here]
        weight = edges[:, :, level.edges]
        front[..., level.i, level.j] -= weight
        front[..., level.j, level.i] -= weight
        front.diagonal(dim1=-2, dim2=-1)[..., :s] += 1
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(front[..., :s, :s]))
        back = -inverse @ front[..., :s, s:]
        complement = front[..., s:, s:] + front[..., s:, :s] @ back
        fronts.append(torch.cat([inverse, back], -1).to(right.dtype))
    return fronts


def _read(y: Tensor, pixels: Tensor) -> Tensor:
    """Pixels of y `(systems, pixels, right-hand sides)` as `(systems, *pixels.shape, right-hand sides)`."""
    return y.index_select(1, pixels.flatten()).reshape(len(y), *pixels.shape, y.shape[2])


def _write(y: Tensor, pixels: Tensor, values: Tensor) -> None:
    """Set pixels of y to values, shaped as `_read` returns them."""
    y.index_copy_(1, pixels.flatten(), values.flatten(1, 2))


def _times(matrices: Tensor, values: Tensor) -> Tensor:
    """Each matrix times its columns; as rows times the transpose, which is faster for few columns."""
    return (values.mT @ matrices.mT).mT
