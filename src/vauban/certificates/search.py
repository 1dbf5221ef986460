"""Search for the largest radius at which a falling margin is above 0, with few evaluations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

FIRST = 16  # the first radius that is tried is largest / FIRST: bounds at large radii cost most and say least


def last_proved(
    margin: Callable[[Tensor, Tensor], Tensor], n: int, largest: float, rounds: int, device: torch.device
) -> Tensor:
    """For each of n images the largest multiple of largest / 2^rounds at which its margin is above 0, float64 `(n,)`.

    It is doubled until the margin is not above 0, and then searched for between the two: twice where a line through both
    margins crosses 0 (the end that stays has its margin halved, the Illinois rule), then in the middle. The result is
    always a radius that was tried, and the next multiple was tried as well; 0 where none was above 0.

    Args:
        margin: From images, by index, and a radius for each to their margins.
        n: Number of images.
        largest: The largest radius that is tried.
        rounds: As above.
        device: Of the result.
    """
    end = 1 << rounds
    low, high = torch.zeros(n, dtype=torch.int64, device=device), torch.full((n,), end + 1, device=device)
    at_low, at_high = (torch.full((n,), torch.nan, dtype=torch.float64, device=device) for _ in range(2))
    at = torch.full((n,), max(1, end // FIRST), device=device)
    left, turn = torch.arange(n, device=device), 0
    while len(left):
        least = margin(left, at[left].double() * (largest / end))
        proved = least > 0
        up, down = left[proved], left[~proved]
        at_high[up], at_low[down] = at_high[up] / 2, at_low[down] / 2
        low[up], at_low[up] = at[up], least[proved]
        high[down], at_high[down] = at[down], least[~proved]
        left = left[high[left] - low[left] > 1]
        at[left] = _next(low[left], high[left], at_low[left], at_high[left], end, turn)
        turn += 1
    return low.double() * (largest / end)


def _next(low: Tensor, high: Tensor, at_low: Tensor, at_high: Tensor, end: int, turn: int) -> Tensor:
    share = at_low / (at_low - at_high)
    usable = share.isfinite() & (turn % 3 < 2)
    between = low + torch.where(usable, share.nan_to_num(0.5) * (high - low), (high - low) / 2).round().long()
    doubled = (2 * low.clamp_min(1)).clamp_max(end)
    inside = torch.minimum(torch.maximum(between, low + 1), high - 1)
    following: Tensor = doubled.where(high > end, inside)
    return following
