"""Difference of two estimates with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vauban.statistics.distributions import student_quantile
from vauban.statistics.estimates import Estimate
from vauban.statistics.intervals import Interval


def difference(first: Estimate, second: Estimate) -> Interval:
    """The 95 % interval of first - second, over images and over what the seeds stand for.

    Over images by the method of variance estimates recovery (Newcombe 1998, method 10; Zou and Donner 2008): with d the
    difference, l and u the limits of each, [d - sqrt((a - l_a)^2 + (u_b - b)^2), d + sqrt((u_a - a)^2 + (b - l_b)^2)].
    It takes the two for independent; on the same images it is conservative. Where both have several seeds, Welch's interval
    of the difference of their means over seeds; the wider end of the two counts on each side.

    Returns:
        The limits; nan where one of the two is not defined.
    """
    a, b = first.value, second.value
    if not (math.isfinite(a) and math.isfinite(b)):
        return Interval(math.nan, math.nan)
    below = math.hypot(a - first.interval.low, second.interval.high - b)
    above = math.hypot(first.interval.high - a, b - second.interval.low)
    half = _welch(first.per_seed, second.per_seed)
    return Interval(a - b - max(below, half), a - b + max(above, half))


def _welch(first: Sequence[float], second: Sequence[float]) -> float:
    """Half the width of Welch's interval of a difference of means; 0 where one has a single value or nothing varies."""
    if min(len(first), len(second)) < 2:
        return 0.0
    shares = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    variance = math.fsum(shares)
    if variance == 0:
        return 0.0
    freedom = variance**2 / math.fsum(
        share**2 / (len(values) - 1) for share, values in zip(shares, (first, second), strict=True)
    )
    return student_quantile(0.975, freedom) * math.sqrt(variance)
