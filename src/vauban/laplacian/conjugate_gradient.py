"""Conjugate gradient for grid systems, on one colour of the chessboard."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vauban.core.tensors import take
from vauban.laplacian.stencil import Solution, Stencil, norm

CHECK = 4  # iterations between two looks at the residuals: a look stalls an accelerator
MARGIN = 0.9  # share of the tolerance that the recursive residual must reach, since the true one differs by rounding


def split(v: Tensor) -> tuple[Tensor, Tensor]:
    """Red and black squares of a chessboard whose corner is red.

    Args:
        v: Signals `(..., height, width)`.

    Returns:
        The two colours, `(..., height, ceil(width / 2))` each, padded with zeros where the width is odd.
    """
    pairs = F.pad(v, (0, v.shape[-1] % 2)).reshape(*v.shape[:-1], (v.shape[-1] + 1) // 2, 2)
    red, black = pairs[..., 0].clone(), pairs[..., 1].clone()
    red[..., 1::2, :], black[..., 1::2, :] = pairs[..., 1::2, :, 1], pairs[..., 1::2, :, 0]
    return red, black


def join(red: Tensor, black: Tensor, width: int) -> Tensor:
    """The signal `(..., height, width)` of two colours: the inverse of `split`."""
    pairs = torch.stack((red, black), dim=-1)
    pairs[..., 1::2, :, :] = pairs[..., 1::2, :, :].flip(-1)
    return pairs.flatten(-2)[..., :width]


@dataclass(frozen=True, eq=False)
class Chessboard:
    """The matrix S between the two colours, which is all of it: no two squares of one colour touch.

    Attributes:
        pair: Weights between square k of a row and square k of the other colour, `(batch, groups, height, half)` with
            half = ceil(width / 2).
        hop: Weights of the other horizontal edge, `(batch, groups, height, half - 1)`.
        red_down: Weights from a red square to the row below, `(batch, groups, height - 1, half)`.
        black_down: Weights from a black square to the row below.
    """

    pair: Tensor
    hop: Tensor
    red_down: Tensor
    black_down: Tensor

    @staticmethod
    def of(stencil: Stencil) -> Chessboard:
        """The weights of a stencil by colour."""
        width = stencil.down.shape[-1]
        right = F.pad(stencil.right, (0, 1 + width % 2))
        return Chessboard(right[..., 0::2].contiguous(), right[..., 1:-1:2].contiguous(), *split(stencil.down))

    def to_red(self, black: Tensor) -> Tensor:
        """S_rb applied to black squares `(batch, channel, height, half)`: red ones."""
        return self._cross(black, self.red_down, self.black_down, 0)

    def to_black(self, red: Tensor) -> Tensor:
        """S_br applied to red squares: black ones."""
        return self._cross(red, self.black_down, self.red_down, 1)

    def reduced(self, red: Tensor) -> Tensor:
        """The system after the black squares are eliminated, (I - S_rb S_br) red."""
        return red - self.to_red(self.to_black(red))

    def diagonal(self) -> Tensor:
        """Diagonal of the reduced system: 1 minus the sum of a red square's squared weights."""
        square = Chessboard(*(getattr(self, name).square() for name in self.__dataclass_fields__))
        return 1 - square.to_red(torch.ones_like(self.pair))

    def _cross(self, v: Tensor, below: Tensor, above: Tensor, parity: int) -> Tensor:
        """S from one colour to the other.

        Args:
            v: Squares of one colour.
            below: Weights from a square of the other colour to the row below it.
            above: Weights from a square of v's colour to the row below it.
            parity: Rows in which a square of the other colour stands left of its pair: 0 the even ones, 1 the odd.
        """
        out = self.pair * v
        out[..., :-1, :].addcmul_(below, v[..., 1:, :])
        out[..., 1:, :].addcmul_(above, v[..., :-1, :])
        # red squares of even rows stand left of their pair, those of odd rows right; black ones the other way round
        left, right = slice(parity, None, 2), slice(1 - parity, None, 2)
        out[..., left, 1:].addcmul_(self.hop[..., left, :], v[..., left, :-1])
        out[..., right, :-1].addcmul_(self.hop[..., right, :], v[..., right, 1:])
        return out


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product per sample and channel, `(batch, channel, 1, 1)`."""
    product: Tensor = torch.linalg.vecdot(a.flatten(2), b.flatten(2))
    return product[..., None, None]


@dataclass(frozen=True, eq=False)
class _State:
    """State of conjugate gradient, one row per unfinished sample.

    Attributes:
        board: The matrix.
        scale: The inverse diagonal of the reduced system, its preconditioner.
        size: ||b|| of the whole system, `(batch, channel)`.
        y: The iterate on red squares.
        r: Its residual in the reduced system.
        p: The search direction.
        rho: r . scale r, `(batch, channel, 1, 1)`.
        index: Positions of the rows in the whole batch.
    """

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
    """Solve (I - S) y = b until ||b - (I - S) y|| <= tol ||b|| in every channel, or for `limit` iterations.

    Conjugate gradient on the red squares with the diagonal of the reduced system as preconditioner (Hestenes and Stiefel
    1952; reduction: Golub and Van Loan, Matrix Computations, cyclic reduction): half the iterations of the whole system at
    equal cost each. The black squares then follow exactly, so the reduced residual is the residual of the whole. Finished
    samples are dropped.

    Args:
        stencil: The matrix S.
        board: The same by colour.
        b: Right-hand sides `(batch, channel, height, width)`.
        start: A guess of the solution, of the shape of b, set aside where zero is a better one; None for zero.
        tol: Relative residual to reach.
        limit: Most iterations.
    """
    red, black = split(b)
    target = red + board.to_red(black)
    y, r = torch.zeros_like(red), target
    if start is not None:
        guess = split(start)[0]
        residual = target - board.reduced(guess)
        better = (norm(residual) < norm(target))[..., None, None]
        y, r = torch.where(better, guess, y), torch.where(better, residual, r)
    scale = board.diagonal().reciprocal_()
    p = scale * r
    state = _State(board, scale, norm(b), y, r, p, _dot(r, p), torch.arange(len(b), device=b.device))
    solved, iterations = y.clone(), torch.full((len(b),), limit, device=b.device)
    for t in range(limit):
        if t % CHECK == 0:
            done = (norm(state.r) <= MARGIN * tol * state.size).all(1)
            if bool(done.any()):
                solved[state.index[done]], iterations[state.index[done]] = state.y[done], t
                state = take(state, ~done)
            if not len(state.index):
                break
        state = _step(state)
    solved[state.index] = state.y
    return stencil.solution(join(solved, black + board.to_black(solved), b.shape[-1]), b, tol, iterations)


def _step(s: _State) -> _State:
    """One iteration; y, r and p are changed in place."""
    q = s.board.reduced(s.p)
    curvature = _dot(s.p, q)
    length = torch.where(curvature == 0, 0, s.rho / curvature)  # a channel that is solved exactly stands still
    s.y.addcmul_(length, s.p)
    s.r.addcmul_(length, q, value=-1)
    q = torch.mul(s.scale, s.r, out=q)
    rho = _dot(s.r, q)
    s.p.mul_(torch.where(s.rho == 0, 0, rho / s.rho)).add_(q)
    return _State(s.board, s.scale, s.size, s.y, s.r, s.p, rho, s.index)
