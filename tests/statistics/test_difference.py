"""The interval of a difference, against closed forms and a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from vauban.statistics.difference import difference
from vauban.statistics.estimates import Estimate, rate
from vauban.statistics.intervals import Interval


def test_symmetric_intervals_add_like_independent_errors() -> None:
    first, second = Estimate((3.0,), Interval(2.7, 3.3), 50), Estimate((2.0,), Interval(1.6, 2.4), 50)
    assert difference(first, second) == pytest.approx((0.5, 1.5))
    swapped = difference(second, first)
    assert swapped == pytest.approx((-1.5, -0.5))


def test_rates_have_newcombes_interval() -> None:
    """The example of Newcombe 1998, table II, method 10: 56/70 against 48/80 gives [0.0524, 0.3339]."""
    limits = difference(rate(np.arange(70) < 56), rate(np.arange(80) < 48))
    assert limits == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_spread_of_trainings_widens_it() -> None:
    a, b = (0.8, 0.5, 0.7), (0.2, 0.3, 0.1)
    narrow = Interval(0.65, 0.68), Interval(0.19, 0.21)
    limits = difference(Estimate(a, narrow[0], 10_000), Estimate(b, narrow[1], 10_000))
    welch = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert limits == pytest.approx((welch.low, welch.high))


def test_what_is_not_defined_has_no_interval() -> None:
    one = Estimate((1.0,), Interval(0.9, 1.1), 30)
    assert all(map(math.isnan, difference(one, Estimate((math.nan,), Interval(0.0, 1.0), 0))))
