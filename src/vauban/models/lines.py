"""Linear bounds of activations over intervals: a line below and one above, exact where the activation is linear there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lines:
    """below_slope x + below <= f(x) <= above_slope x + above over an interval, each of the shape of its ends."""

    below_slope: Tensor
    below: Tensor
    above_slope: Tensor
    above: Tensor


LinesOf = Callable[[Tensor, Tensor], Lines]
"""From the lower and upper ends of intervals to lines; slopes lie in [0,1]."""


def leaky_lines(low: Tensor, high: Tensor, slope: float) -> Lines:
    """A (leaky) ReLU: its chord above; below a line through 0, of slope 1 where the interval reaches farther above 0.

    Zhang et al. 2018 (arXiv:1811.00866), the adaptive choice of CROWN-Ada.
    """
    one, lesser = (torch.tensor(value, dtype=low.dtype, device=low.device) for value in (1.0, slope))
    wide = (high - low).clamp_min(torch.finfo(low.dtype).tiny)
    chord = torch.where(low >= 0, one, torch.where(high <= 0, lesser, (high - slope * low) / wide))
    above = torch.where((low < 0) & (high > 0), (slope - chord) * low, 0.0)
    straight = torch.where((low >= 0) | ((high > 0) & (high > -low)), one, lesser)
    return Lines(straight, torch.zeros_like(low), chord, above)


def clipped_lines(low: Tensor, high: Tensor, least: Tensor, most: Tensor) -> Lines:
    """clip(x, least, most), a bounded ReLU: lines through its two corners, or chords where the interval has one corner.

    Below, where the interval reaches under `least`: the line from that corner to the upper end, or the constant, by which
    end is farther from the corner; above likewise at `most`.
    """
    ends = torch.minimum(torch.maximum(low, least), most), torch.minimum(torch.maximum(high, least), most)
    tiny = torch.finfo(low.dtype).tiny
    chord = (ends[1] - ends[0]) / (high - low).clamp_min(tiny)
    rise = torch.where(high - least > least - low, (ends[1] - least) / (high - least).clamp_min(tiny), 0.0)
    below_slope = torch.where(low >= least, chord, torch.where(high <= least, 0.0, rise))
    below = torch.where(low >= least, ends[0] - chord * low, least - below_slope * least)
    fall = torch.where(most - low > high - most, (most - ends[0]) / (most - low).clamp_min(tiny), 0.0)
    above_slope = torch.where(high <= most, chord, torch.where(low >= most, 0.0, fall))
    above = torch.where(high <= most, ends[0] - chord * low, most - above_slope * most)
    return Lines(below_slope, below, above_slope, above)
