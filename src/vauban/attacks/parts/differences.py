"""Central differences of a loss from scores: how far it rises along directions, asked of the target in few calls."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.losses import Loss, auto, loss_values
from vauban.engine import Oracle


def check_unswitched(loss: Loss, owner: str) -> None:
    """Raises ContractError for the loss `auto`, whose two values of a difference may be of two losses."""
    if loss is auto:
        raise ContractError(f"expected one loss whose values can be subtracted for {owner}, got auto; take margin")


def reach(oracle: Oracle, length: float) -> float:
    """Length of a probe in pixel units: `length`, and at least one level where the oracle rounds."""
    grid = oracle.domain.grid
    return length if grid is None else max(length, 1 / (grid.levels - 1))


def differences(oracle: Oracle, ahead: Tensor, behind: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """f(ahead) - f(behind) of pairs of images, as the oracle shows them; 2 k queries of a sample in one call.

    Args:
        oracle: Access to the network.
        ahead, behind: k images of each sample, `(batch, k, ...)`.
        loss: f.

    Returns:
        The differences `(batch, k)`, 0 where one is not finite, and the displacements of the images that the network saw,
        `(batch, k, ...)`.
    """
    pairs = ahead.shape[:2]
    wide = oracle.repeat(2 * pairs[1])
    both = wide.domain.quantise(torch.stack([ahead, behind], 2).flatten(0, 2))
    value = loss_values(loss, wide.scores(both), wide.goal).to(ahead.dtype).view(*pairs, 2)
    rise = value[..., 0] - value[..., 1]
    shown = both.view(*pairs, 2, *ahead.shape[2:])
    return torch.where(rise.isfinite(), rise, torch.zeros_like(rise)), shown[:, :, 0] - shown[:, :, 1]


def estimate(
    oracle: Oracle, x: Tensor, draw: Callable[[int], Tensor], pairs: int, lot: int, length: float, loss: Loss
) -> Tensor:
    """Estimate of the gradient at x: the mean over antithetic pairs of (f(x + h u) - f(x - h u)) / (2 h) u.

    u is half the displacement of what the network saw, over h: where [0,1], the ball or the grid holds a component back,
    the difference is charged to those that did move. For a linear f without such a limit a pair gives exactly
    (w.u) u, whose mean over directions with E[u u^T] = 1 is w.

    Args:
        oracle: Access to the network.
        x: Images `(batch, ...)`.
        draw: Direction of pair j, `(batch, ...)`.
        pairs: Number of pairs; 2 queries each.
        lot: Pairs of a sample that go at once.
        length: h in pixel units.
        loss: f.

    Returns:
        A tensor of the shape of x.
    """
    total = torch.zeros_like(x)
    for first in range(0, pairs, lot):
        u = torch.stack([draw(j) for j in range(first, min(first + lot, pairs))], 1)
        rise, shift = differences(oracle, x[:, None] + length * u, x[:, None] - length * u, loss)
        weight = (rise / (2 * length) ** 2).view(*rise.shape, *(1,) * (x.dim() - 1))
        total = total + (weight * shift).sum(1)
    return total / pairs


def partials(oracle: Oracle, x: Tensor, index: Tensor, h: float, lot: int, loss: Loss) -> Tensor:
    """Partial derivatives of a loss by symmetric difference quotients, `(batch, k)`; 2 k queries.

    They are over the displacement that the network saw: a coordinate that [0,1] stops on one side has a one-sided
    quotient, one that cannot move the derivative 0.

    Args:
        oracle: Access to the network.
        x: Images `(batch, ...)`.
        index: Flat positions of the coordinates, `(batch, k)`.
        h: Half the width of a difference, in pixel units; at least one level where the oracle rounds.
        lot: Coordinates that go at once.
        loss: Function of logits and goal.
    """
    length, parts = reach(oracle, h), []
    for some in torch.split(index, lot, 1):
        off = torch.zeros(*some.shape, x[0].numel(), dtype=x.dtype, device=x.device).scatter(2, some[..., None], length)
        off = off.view(*some.shape, *x.shape[1:])
        rise, shift = differences(oracle, x[:, None] + off, x[:, None] - off, loss)
        width = shift.flatten(2).gather(2, some[..., None]).squeeze(2)
        parts.append(torch.where(width > 0, rise / width, torch.zeros_like(rise)))
    return torch.cat(parts, 1)
