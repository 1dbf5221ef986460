"""Confidence intervals and paired tests; each covers the sampling of images, never the weakness of an attack."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from vauban.core.errors import ContractError
from vauban.statistics.distributions import beta_quantile, equal_odds_p, normal_quantile

Array = np.ndarray[Any, Any]


class Interval(NamedTuple):
    """A closed interval."""

    low: float
    high: float


def wilson(count: float, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a rate count/n.

    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), Wilson, JASA 22 (1927).

    Args:
        count: How many; may be fractional: a sum of per-sample rates in [0,1] has at most the binomial variance, so the
            interval is then conservative.
        n: Of how many; 0 gives [0, 1].
        level: The probability that the interval holds the rate.

    Raises:
        ContractError: Not 0 <= count <= n, or not 0 < level < 1.
    """
    _check(count, n, level)
    if n == 0:
        return Interval(0.0, 1.0)
    z = float(normal_quantile(0.5 + level / 2))
    p, shrink = count / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / shrink
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / shrink
    # At the ends the formula is exact; rounding would leave 1e-17 instead.
    return Interval(0.0 if count == 0 else centre - half, 1.0 if count == n else centre + half)


def clopper_pearson(count: float, n: int, level: float = 0.95) -> Interval:
    """Exact, conservative interval of a rate count/n from Beta quantiles (Clopper, Pearson, Biometrika 26, 1934)."""
    _check(count, n, level)
    if n == 0:
        return Interval(0.0, 1.0)
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(beta_quantile(tail, count, n - count + 1))
    high = 1.0 if count == n else float(beta_quantile(1 - tail, count + 1, n - count))
    return Interval(low, high)


def mcnemar(first: Array, second: Array) -> float:
    """Exact two-sided McNemar p-value for two yes/no answers on the same samples.

    Under equal rates the samples on which only one says yes are Binomial(b + c, 1/2); McNemar, Psychometrika 12 (1947).

    Args:
        first, second: The answers, `(n,)` bool each.

    Raises:
        ContractError: Two lengths.
    """
    only_first, only_second = _discordant(first, second)
    return float(equal_odds_p(only_first, only_second))


def paired_difference(first: Array, second: Array, level: float = 0.95) -> Interval:
    """Newcombe's square-and-add interval of rate(first) - rate(second) on the same samples.

    Method 10 of Newcombe, Statistics in Medicine 17 (1998) 2635: Wilson limits of both rates, their covariance
    estimated by the phi coefficient, the numerator of a positive phi reduced by n/2.

    Args:
        first, second: The answers, `(n,)` bool each.
        level: The probability that the interval holds the difference.

    Raises:
        ContractError: Two lengths.
    """
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    only_first, only_second = _discordant(a, b)
    n = len(a)
    if n == 0:
        return Interval(-1.0, 1.0)
    both, neither = int((a & b).sum()), int((~a & ~b).sum())
    one, two = wilson(both + only_first, n, level), wilson(both + only_second, n, level)
    p, q = (both + only_first) / n, (both + only_second) / n
    product = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    cross = both * neither - only_first * only_second
    corrected = max(cross - n / 2, 0.0) if cross > 0 else float(cross)
    phi = corrected / math.sqrt(product) if product else 0.0
    down, up = (p - one.low, two.high - q), (one.high - p, q - two.low)
    low = p - q - math.sqrt(max(down[0] ** 2 - 2 * phi * down[0] * down[1] + down[1] ** 2, 0.0))
    high = p - q + math.sqrt(max(up[0] ** 2 - 2 * phi * up[0] * up[1] + up[1] ** 2, 0.0))
    return Interval(low, high)


def _check(count: float, n: int, level: float) -> None:
    if not (0 <= count <= n and 0 < level < 1):
        raise ContractError(f"interval: expected 0 <= count <= n and 0 < level < 1, got {count}, {n}, {level}")


def _discordant(first: Array, second: Array) -> tuple[int, int]:
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ContractError(
            f"paired rates: expected two vectors of one length, got {a.shape} and {b.shape}; align by id"
        )
    return int((a & ~b).sum()), int((~a & b).sum())
