"""Axes of drawn figures: the values at their ends, their ticks, and the pixels of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise


def tick_step(span: float, most: int = 5) -> float:
    """Smallest of 1, 2, 5 times a power of ten that divides a span into at most so many parts.

    Args:
        span: The length of the axis in its values, above 0.
        most: The largest number of parts.
    """
    unit = 10.0 ** math.floor(math.log10(span / most))
    return next(m * unit for m in (1, 2, 5, 10) if m * unit >= span / most * (1 - 1e-9))


def rounded_up(top: float) -> float:
    """The round number at or above a positive one that an axis from 0 ends at."""
    unit = tick_step(top)
    return float(f"{unit * math.ceil(top / unit - 1e-9):.6g}")


@dataclass(frozen=True)
class Axis:
    """Map from values to pixels.

    Attributes:
        low: The smallest value.
        high: The largest value.
        start: The pixel of `low`.
        end: The pixel of `high`.
        logarithmic: Whether equal ratios are equal lengths; else equal differences are.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def pixel(self, value: float) -> float:
        """The pixel of a value."""
        f: Callable[[float], float] = math.log10 if self.logarithmic else float
        return self.start + (f(value) - f(self.low)) / (f(self.high) - f(self.low)) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values inside the axis, at most seven: the pixel and the text of each."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            every = [float(f"{m}e{e}") for e in powers for m in (1, 2, 5)]
            inside = [v for v in every if self.low * 0.999 <= v <= self.high * 1.001]
            inside = inside if len(inside) <= 7 else [v for v in inside if f"{v:e}".startswith("1.0")]
            return [(self.pixel(v), tick_text(v)) for v in inside]
        unit = tick_step(self.high - self.low)
        first, last = math.ceil(self.low / unit - 1e-9), math.floor(self.high / unit + 1e-9)
        return [(self.pixel(k * unit), tick_text(k * unit)) for k in range(first, last + 1)]


def tick_text(value: float) -> str:
    """The number of a tick, with a minus sign instead of a hyphen."""
    return f"{value:.6g}".replace("-", "−") if value else "0"


def rounded_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """Axis that holds the values and ends at round numbers; it begins at 0 unless that hides how they differ.

    Args:
        values: At least one value.
        start: The pixel of the low end.
        end: The pixel of the high end.
    """
    low, high = min(values), max(values)
    if low >= 0 and low <= 0.5 * high:
        low = 0.0
    if low == high:
        low, high = low - 0.5, high + 0.5
    unit = tick_step(high - low)
    return Axis(unit * math.floor(low / unit + 1e-9), unit * math.ceil(high / unit - 1e-9), start, end)


def tight_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """Axis from the smallest to the largest value, logarithmic where each is about twice the last one or more.

    Args:
        values: At least one value.
        start: The pixel of the low end.
        end: The pixel of the high end.
    """
    distinct = sorted(set(values))
    low, high = distinct[0], distinct[-1]
    if low == high:
        return rounded_axis(values, start, end)
    doubling = low > 0 and high >= 30 * low and all(b >= 1.9 * a for a, b in pairwise(distinct))
    return Axis(low, high, start, end, doubling)
