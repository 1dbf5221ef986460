"""Rates, means, medians and P(D) against closed forms, brute force and their definitions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vauban.statistics.estimates import (
    conditional_mean,
    corners,
    median,
    nearest,
    operating_characteristic,
    p_upp,
    rate,
)
from vauban.statistics.intervals import wilson

INF = math.inf
STEPS = [0.0, 0.5, 1.0, 1.5, 2.0, INF]
DISTANCES = st.lists(st.sampled_from(STEPS), min_size=1, max_size=12)
SEEDS = st.tuples(st.integers(1, 3), st.integers(1, 12)).flatmap(
    lambda shape: st.lists(
        st.lists(st.sampled_from(STEPS), min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    )
)


def ranks(n: int) -> int:
    """l by summing binomial coefficients: the least k with P(X <= k) >= 2.5 %, X of Binomial(n, 1/2)."""
    total = Fraction(0)
    for k in range(n + 1):
        total += Fraction(math.comb(n, k), 2**n)
        if total >= Fraction(25, 1000):
            return k
    raise AssertionError


@pytest.mark.parametrize("n", [1, 5, 6, 9, 50, 101, 1000])
def test_the_limits_of_a_median_are_order_statistics(n: int) -> None:
    ordered = np.arange(1.0, n + 1)
    low, high = median(np.random.default_rng(n).permutation(ordered)).interval
    rank = ranks(n)
    assert (low, high) == ((rank, n + 1 - rank) if rank else (0, INF))


@pytest.mark.parametrize("n", [6, 7, 30, 61])
def test_the_limits_of_a_median_cover_for_every_population(n: int) -> None:
    """Whatever is continuous: l values or more lie below the median and above it with 95 % or more, by enumeration."""
    low, high = median(np.arange(1.0, n + 1)).interval
    below = np.arange(n + 1)  # how many of the n values are below the population's median
    covered = (below >= low) & (below <= high - 1)
    assert stats.binom.pmf(below, n, 0.5)[covered].sum() >= 0.95


def test_a_median_keeps_infinity_and_says_what_it_does_not_know() -> None:
    mostly = median(np.array([1.0] * 11 + [INF] * 9))
    assert (mostly.value, mostly.interval) == (1.0, (1.0, INF))
    assert median(np.array([1.0, 2.0, INF, INF])).value == INF
    empty = median(np.empty(0))
    assert math.isnan(empty.value)
    assert (empty.interval, empty.n) == ((0.0, INF), 0)


@given(SEEDS)
def test_a_median_is_that_of_each_seed(distance: list[list[float]]) -> None:
    told = median(np.array(distance))
    alone = [median(np.array(row)) for row in distance]
    assert list(told.per_seed) == [one.value for one in alone] == [float(np.median(row)) for row in distance]
    assert told.interval.low == pytest.approx(np.mean([one.interval.low for one in alone]))
    assert told.interval.high == pytest.approx(np.mean([one.interval.high for one in alone]))
    assert told.interval.low <= told.value <= told.interval.high


@given(SEEDS)
def test_a_rate_over_seeds_counts_each_image_once(distance: list[list[float]]) -> None:
    hits = np.isfinite(np.array(distance))
    told = rate(hits)
    assert told.value == pytest.approx(hits.mean())
    assert list(told.per_seed) == pytest.approx(hits.mean(1).tolist())
    assert told.interval == pytest.approx(wilson(float(hits.mean(0).sum()), hits.shape[1]))
    again = rate(np.concatenate([hits, hits]))
    assert again.interval == pytest.approx(told.interval)


def test_a_rate_of_nothing() -> None:
    told = rate(np.empty(0))
    assert math.isnan(told.value)
    assert (told.interval, told.n) == ((0.0, 1.0), 0)


def test_the_limits_of_a_mean_of_one_seed_are_the_familiar_ones() -> None:
    values = [0.3, 0.5, 0.4, 0.9]
    half = 1.959964 * np.std(values, ddof=1) / 2
    told = conditional_mean(np.array([*values, INF, INF]))
    assert told.interval == pytest.approx((np.mean(values) - half, np.mean(values) + half))
    assert (told.p_suc, told.n) == (4 / 6, 6)
    assert conditional_mean(np.array([0.3, INF])).interval == (0.0, INF)
    assert conditional_mean(np.array([0.3]), highest=1.0).interval == (0.0, 1.0)
    assert conditional_mean(np.array([0.0, 1.0]), highest=1.0).interval == (0.0, 1.0)
    nothing = conditional_mean(np.array([INF, INF]))
    assert math.isnan(nothing.value)
    assert (nothing.interval, nothing.p_suc) == ((0.0, INF), 0.0)


@given(SEEDS)
def test_a_mean_is_over_the_successes_of_each_seed(distance: list[list[float]]) -> None:
    told = conditional_mean(np.array(distance))
    for seed, row in zip(told.per_seed, distance, strict=True):
        successes = [d for d in row if d < INF]
        assert seed == pytest.approx(np.mean(successes)) if successes else math.isnan(seed)
    assert math.isnan(told.value) or told.interval.low <= told.value <= told.interval.high


@given(SEEDS)
def test_the_mean_of_one_attack_run_twice_is_no_surer(distance: list[list[float]]) -> None:
    once, twice = (conditional_mean(np.array(rows)) for rows in (distance, distance * 2))
    assert twice.interval == pytest.approx(once.interval)


def test_limits_cover() -> None:
    """Of 400 samples of 60 images, about 95 % of the intervals hold the mean of the successes and the median of all."""
    rng = np.random.default_rng(0)
    hits = {"mean": 0, "median": 0}
    truth = {"mean": 1.0, "median": -math.log(1 - 0.5 / 0.8)}
    for _ in range(400):
        distance = np.where(rng.random(60) < 0.8, rng.exponential(size=60), INF)
        for name, told in (("mean", conditional_mean(distance)), ("median", median(distance))):
            hits[name] += told.interval.low <= truth[name] <= told.interval.high
    assert all(0.91 * 400 < count <= 0.995 * 400 for count in hits.values()), hits


@given(SEEDS, st.lists(st.sampled_from([0.0, 0.4, 0.5, 1.0, 1.7, 5.0]), min_size=1, max_size=5))
def test_the_operating_characteristic_is_its_definition(distance: list[list[float]], at: list[float]) -> None:
    flat = [d for row in distance for d in row]
    share = operating_characteristic(np.array(distance), np.array(at))
    assert list(share) == [sum(d <= limit for d in flat) / len(flat) for limit in at]
    assert p_upp(np.array(distance), at[0]).value == pytest.approx(share[0])


def test_a_distance_on_the_budget_is_within_it() -> None:
    on_it = np.array([np.float32(0.2), 0.3])
    assert p_upp(on_it, 0.2).value == 0.5
    assert operating_characteristic(on_it, np.array([0.2])).tolist() == [0.5]
    assert p_upp(np.array([2.0015, 2.01]), 2.0, slack=1e-3).value == 0.5
    assert p_upp(np.array([2.0015, 2.01]), 2.0).value == 0.0


def test_operating_characteristic_of_nothing() -> None:
    assert np.isnan(operating_characteristic(np.empty((2, 0)), np.array([1.0]))).all()


@given(DISTANCES, st.sampled_from([1.0, 1.7, INF]))
def test_corners_are_every_step(distance: list[float], upto: float) -> None:
    at = corners(np.array(distance), 100, upto)
    steps = sorted({d for d in distance if 0 < d <= upto and d < INF})
    assert at.tolist() == [0.0, *steps] + ([upto] if upto < INF else [])


def test_many_corners_are_thinned_and_keep_their_ends() -> None:
    at = corners(np.linspace(1, 2, 500), 5)
    assert at.tolist() == pytest.approx([0, 1, 1.25, 1.5, 1.75, 2], abs=2e-3)


@given(SEEDS)
def test_the_nearest_success_of_several_runs(distance: list[list[float]]) -> None:
    array: Any = np.array(distance)
    closest, run = nearest(array)
    for image in range(array.shape[1]):
        column = array[:, image].tolist()
        assert closest[image] == min(column) == column[run[image]]
    assert rate(np.isfinite(closest)).value >= max(rate(np.isfinite(array)).per_seed)


def test_limits_of_values_that_may_be_negative_are_not_cut_at_zero() -> None:
    values = np.array([-0.5, 0.5, -0.25, 0.25])
    told = conditional_mean(values)
    half = 1.959964 * values.std(ddof=1) / 2
    assert told.interval == pytest.approx((-half, half), rel=1e-5)
