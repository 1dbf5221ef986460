"""Responses of a function to small random moves, beside what its gradient predicts: whether a gradient is its own.

Moves are antithetic, so that what is even in the move (curvature) cancels and an odd response is left to explain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.core.rng import Stream
from vauban.core.tensors import flat, like

MOVES = 8
EXPLAINED = 0.5  # least share of the response that the gradient of a function explains
STILL = 1e-6  # of the function's size: responses below are rounding


@dataclass(frozen=True)
class Responses:
    """What random moves changed, and what the gradient said of them.

    Attributes:
        explained: 1 - sum (r - p)^2 / sum r^2 over the moves of each image, r the response and p the prediction, `(n,)`;
            1 where nothing responds and nothing was predicted, minus infinity where only the prediction is there.
        dead: Whether an image responds and the gradient says that it does not, `(n,)`.
    """

    explained: Tensor
    dead: Tensor

    @property
    def unsound(self) -> Tensor:
        """Images whose gradient explains less than `EXPLAINED`, `(n,)`."""
        return self.explained < EXPLAINED


def responses(
    function: Callable[[Tensor], Tensor], x: Tensor, gradient: Tensor, step: Tensor, seed: int, moves: int = MOVES
) -> Responses:
    """Responses to `moves` pairs of sign moves; 2 calls of the function for each.

    Args:
        function: Of images, one value each; it may not draw random numbers that differ between calls.
        x: Images or any tensor `(n, ...)`.
        gradient: What is claimed to be its gradient there, of the shape of x.
        step: Size of a move of every component, `(n,)`.
        seed: Of the signs.
    """
    rng = Stream(seed, torch.arange(len(x), device=x.device))
    seen, said, size = [], [], torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for k in range(moves):
        move = rng.signs("move", tuple(x.shape[1:]), draw=k, dtype=x.dtype) * like(step, x)
        up, down = function(x + move).double(), function(x - move).double()
        size = torch.maximum(size, torch.maximum(up.abs(), down.abs()))
        seen.append((up - down) / 2)
        said.append(flat(gradient * move).sum(1).double())
    response, predicted = torch.stack(seen), torch.stack(said)
    total = response.square().sum(0)
    still, silent = total.sqrt() <= STILL * size, predicted.square().sum(0).sqrt() <= STILL * size
    left = (response - predicted).square().sum(0)
    explained = 1 - left / total.clamp_min(torch.finfo(torch.float64).tiny)
    explained = torch.where(still, torch.where(silent, 1.0, -torch.inf), explained)
    return Responses(explained, silent & ~still)
