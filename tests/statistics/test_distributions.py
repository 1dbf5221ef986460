"""Quantiles and tests agree with scipy.stats, which is slower to import."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vauban.statistics.distributions import (
    beta_quantile,
    binomial_quantile,
    equal_odds_p,
    normal_quantile,
    student_quantile,
)

shares = st.floats(0.001, 0.999)


@given(shares, st.floats(0.5, 400), st.floats(0.5, 400))
def test_quantiles(p: float, a: float, b: float) -> None:
    assert normal_quantile(p) == pytest.approx(stats.norm.ppf(p), abs=1e-12)
    assert beta_quantile(p, a, b) == pytest.approx(stats.beta.ppf(p, a, b), rel=1e-9, abs=1e-12)
    assert student_quantile(p, a) == pytest.approx(stats.t.ppf(p, a), rel=1e-9, abs=1e-12)


@given(shares, st.integers(1, 3000), shares)
def test_the_binomial_quantile(p: float, n: int, rate: float) -> None:
    assert binomial_quantile(p, n, rate) == int(stats.binom.ppf(p, n, rate))


@given(st.integers(0, 500), st.integers(0, 500))
def test_equal_odds(one: int, two: int) -> None:
    exact = 1.0 if one + two == 0 else stats.binomtest(one, one + two, 0.5).pvalue
    assert float(equal_odds_p(one, two)) == pytest.approx(exact, rel=1e-9)
    assert equal_odds_p(np.array([one, two]), np.array([two, one])).tolist() == [float(equal_odds_p(one, two))] * 2
