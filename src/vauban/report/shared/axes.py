"""Axes: round numbers, and where they stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise


def step(span: float, wanted: int = 5) -> float:
    """The smallest of 1, 2, 5 times a power of ten that divides a span into at most so many parts."""
    unit = 10.0 ** math.floor(math.log10(span / wanted))
    return next(m * unit for m in (1, 2, 5, 10) if m * unit >= span / wanted * (1 - 1e-9))


def rounded(top: float) -> float:
    """The round number at or above a positive one that an axis from 0 ends at."""
    unit = step(top)
    return float(f"{unit * math.ceil(top / unit - 1e-9):.6g}")


@dataclass(frozen=True)
class Axis:
    """From `low` to `high` over the pixels `start` to `end`; `logarithmic` where equal ratios are equal lengths."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value."""
        f: Callable[[float], float] = math.log10 if self.logarithmic else float
        return self.start + (f(value) - f(self.low)) / (f(self.high) - f(self.low)) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values inside the axis, at most seven, with their pixels."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            every = [float(f"{m}e{e}") for e in powers for m in (1, 2, 5)]
            inside = [v for v in every if self.low * 0.999 <= v <= self.high * 1.001]
            inside = inside if len(inside) <= 7 else [v for v in inside if f"{v:e}".startswith("1.0")]
            return [(self.at(v), number(v)) for v in inside]
        unit = step(self.high - self.low)
        first, last = math.ceil(self.low / unit - 1e-9), math.floor(self.high / unit + 1e-9)
        return [(self.at(k * unit), number(k * unit)) for k in range(first, last + 1)]


def number(value: float) -> str:
    """A tick's number, with the sign that the page uses."""
    return f"{value:.6g}".replace("-", "−") if value else "0"


def spanned(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis that holds the values and ends at round numbers; it begins at 0 unless that hides how they differ."""
    low, high = min(values), max(values)
    if low >= 0 and low <= 0.5 * high:
        low = 0.0
    if low == high:
        low, high = low - 0.5, high + 0.5
    unit = step(high - low)
    return Axis(unit * math.floor(low / unit + 1e-9), unit * math.ceil(high / unit - 1e-9), start, end)


def exactly(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis from the smallest to the largest value, logarithmic where each is about twice the last one or more."""
    found = sorted(set(values))
    low, high = found[0], found[-1]
    if low == high:
        return spanned(values, start, end)
    doubling = low > 0 and high >= 30 * low and all(b >= 1.9 * a for a, b in pairwise(found))
    return Axis(low, high, start, end, doubling)
