"""Quantiles and tests of common distributions, from scipy.special: scipy.stats takes a second to import."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

Array = np.ndarray[Any, Any]


def normal_quantile(p: Any) -> Any:
    """Phi^-1(p) of the standard normal distribution."""
    return special.ndtri(p)


def beta_quantile(p: Any, a: Any, b: Any) -> Any:
    """Quantile p of the Beta distribution with parameters a and b."""
    return special.betaincinv(a, b, p)


def student_quantile(p: float, freedom: float) -> float:
    """Quantile p of Student's t with so many degrees of freedom."""
    return float(special.stdtrit(freedom, p))


def binomial_quantile(p: float, n: int, rate: float) -> int:
    """The least k with P(X <= k) >= p, for X ~ Binomial(n, rate)."""
    at_most = special.bdtr(np.arange(n + 1), n, rate)
    return int(np.argmax(at_most >= p)) if at_most[-1] >= p else n


def equal_odds_p(one: Any, two: Any) -> Array:
    """Exact two-sided p-values of one against two under Binomial(one + two, 1/2); 1 where there are none of either."""
    fewer, n = np.minimum(one, two), np.add(one, two)
    tail = 2 * special.bdtr(fewer, np.maximum(n, 1), 0.5)
    return np.where((n == 0) | (np.equal(one, two)), 1.0, np.minimum(tail, 1.0))
