"""Conjugate gradient for grid systems, on one colour of the chessboard."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vauban.core.tensors import take
from vauban.laplacian.stencil import Solution, Stencil, norm

CHECK = 4  # iterations between two looks at the residuals: a look stalls an accelerator
AIM = 0.9  # the residual carried along is aimed this far below the tolerance, since the true one differs by rounding


def split(v: Tensor) -> tuple[Tensor, Tensor]:
    """The red and the black squares of a chessboard, `(..., height, ceil(width / 2))` each; the corner is red."""
    pairs = F.pad(v, (0, v.shape[-1] % 2)).reshape(*v.shape[:-1], (v.shape[-1] + 1) // 2, 2)
    red, black = pairs[..., 0].clone(), pairs[..., 1].clone()
    red[..., 1::2, :], black[..., 1::2, :] = pairs[..., 1::2, :, 1], pairs[..., 1::2, :, 0]
    return red, black


def join(red: Tensor, black: Tensor, width: int) -> Tensor:
    """The inverse of `split`."""
    pairs = torch.stack((red, black), dim=-1)
    pairs[..., 1::2, :, :] = pairs[..., 1::2, :, :].flip(-1)
    return pairs.flatten(-2)[..., :width]


@dataclass(frozen=True, eq=False)
class Chessboard:
    """S between the two colours, which is all of it: no two squares of one colour touch.

    `pair` couples square k of a row with square k of the other colour, `hop` is the other horizontal edge, `red_down` and
    `black_down` lead from a square of that colour to the row below.
    """

    pair: Tensor
    hop: Tensor
    red_down: Tensor
    black_down: Tensor

    @staticmethod
    def of(stencil: Stencil) -> Chessboard:
        width = stencil.down.shape[-1]
        right = F.pad(stencil.right, (0, 1 + width % 2))
        return Chessboard(right[..., 0::2].contiguous(), right[..., 1:-1:2].contiguous(), *split(stencil.down))

    def to_red(self, black: Tensor) -> Tensor:
        return self._cross(black, self.red_down, self.black_down, 0)

    def to_black(self, red: Tensor) -> Tensor:
        return self._cross(red, self.black_down, self.red_down, 1)

    def reduced(self, red: Tensor) -> Tensor:
        """(I - S_rb S_br) red: the system after the black squares are eliminated."""
        return red - self.to_red(self.to_black(red))

    def diagonal(self) -> Tensor:
        """The diagonal of the reduced system: 1 minus the sum of a red square's squared weights."""
        square = Chessboard(*(getattr(self, name).square() for name in self.__dataclass_fields__))
        return 1 - square.to_red(torch.ones_like(self.pair))

    def _cross(self, v: Tensor, below: Tensor, above: Tensor, parity: int) -> Tensor:
        out = self.pair * v
        out[..., :-1, :].addcmul_(below, v[..., 1:, :])
        out[..., 1:, :].addcmul_(above, v[..., :-1, :])
        # red squares of even rows stand left of their pair, those of odd rows right; black ones the other way round
        a, b = slice(parity, None, 2), slice(1 - parity, None, 2)
        out[..., a, 1:].addcmul_(self.hop[..., a, :], v[..., a, :-1])
        out[..., b, :-1].addcmul_(self.hop[..., b, :], v[..., b, 1:])
        return out


def _dot(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.linalg.vecdot(a.flatten(2), b.flatten(2))
    return product[..., None, None]


@dataclass(frozen=True, eq=False)
class _State:
    """One row per unfinished sample; y, r and p are the iterate, its residual and the search direction on red squares."""

    board: Chessboard
    scale: Tensor
    size: Tensor
    y: Tensor
    r: Tensor
    p: Tensor
    rho: Tensor
    index: Tensor


def conjugate_gradient(
    stencil: Stencil, board: Chessboard, b: Tensor, start: Tensor | None, tol: float, limit: int
) -> Solution:
    """y with ||b - (I - S) y|| <= tol ||b|| in every channel, or the iterate after `limit` iterations.

    Conjugate gradient on the red squares with the diagonal of the reduced system as preconditioner (Hestenes and Stiefel
    1952; reduction: Golub and Van Loan, Matrix Computations, cyclic reduction): half the iterations of the whole system at
    equal cost each. The black squares then follow exactly, so the reduced residual is the residual of the whole. Finished
    samples are dropped; `start` is a guess of the solution, set aside where zero is a better one.
    """
    red, black = split(b)
    target = red + board.to_red(black)
    y, r = torch.zeros_like(red), target
    if start is not None:
        guess = split(start)[0]
        rest = target - board.reduced(guess)
        better = (norm(rest) < norm(target))[..., None, None]
        y, r = torch.where(better, guess, y), torch.where(better, rest, r)
    scale = board.diagonal().reciprocal_()
    p = scale * r
    state = _State(board, scale, norm(b), y, r, p, _dot(r, p), torch.arange(len(b), device=b.device))
    found, iterations = y.clone(), torch.full((len(b),), limit, device=b.device)
    for t in range(limit):
        if t % CHECK == 0:
            done = (norm(state.r) <= AIM * tol * state.size).all(1)
            if bool(done.any()):
                found[state.index[done]], iterations[state.index[done]] = state.y[done], t
                state = take(state, ~done)
            if not len(state.index):
                break
        state = _step(state)
    found[state.index] = state.y
    return stencil.solution(join(found, black + board.to_black(found), b.shape[-1]), b, tol, iterations)


def _step(s: _State) -> _State:
    q = s.board.reduced(s.p)
    curvature = _dot(s.p, q)
    length = torch.where(curvature == 0, 0, s.rho / curvature)  # a channel that is solved exactly stands still
    s.y.addcmul_(length, s.p)
    s.r.addcmul_(length, q, value=-1)
    q = torch.mul(s.scale, s.r, out=q)
    rho = _dot(s.r, q)
    s.p.mul_(torch.where(s.rho == 0, 0, rho / s.rho)).add_(q)
    return _State(s.board, s.scale, s.size, s.y, s.r, s.p, rho, s.index)
