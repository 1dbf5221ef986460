"""Bounds of votes against scipy, curves by hand, and contradictions by chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vauban.core.errors import ContractError
from vauban.statistics.certified import (
    certified_accuracy,
    contradictions,
    empirical_accuracy,
    lower_confidence,
    mean_radius,
    smoothed_radius,
    undecided,
)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.6])
def test_lower_bound_is_clopper_and_pearsons(alpha: float) -> None:
    counts = np.arange(0, 41)
    ours = lower_confidence(counts, 40, alpha)
    theirs = [stats.binomtest(int(k), 40, alternative="greater").proportion_ci(1 - alpha, "exact").low for k in counts]
    assert np.allclose(ours, theirs, atol=1e-12)
    assert np.allclose([stats.binom.sf(k - 1, 40, p) for k, p in zip(counts[1:], ours[1:], strict=True)], alpha)


def test_two_classes_are_told_apart_by_the_two_sided_test() -> None:
    assert undecided(np.array([9, 10, 5, 0]), np.array([0, 0, 5, 0]), 0.002).tolist() == [True, False, True, True]


def test_radius_of_a_half_is_none() -> None:
    assert smoothed_radius(np.array([0.2, 0.5, stats.norm.cdf(1.5)]), 0.5) == pytest.approx([0, 0, 0.75])


@pytest.mark.parametrize(("n", "alpha"), [(0, 0.1), (10, 0.0), (10, 1.0)])
def test_impossible_bounds_are_refused(n: int, alpha: float) -> None:
    with pytest.raises(ContractError):
        lower_confidence(np.array([0]), n, alpha)


ROWS = {
    "y": np.array([0, 1, 1, 0]),
    "label": np.array([0, 1, -1, 0]),
    "certified": np.array([0, 1, -1, 1]),  # the last one is certified as the wrong class
    "radius": np.array([0.5, 1.0, 0.0, 2.0]),
    "wrong_at": np.array([0.7, np.inf, 0.0, 0.1]),
    "other_at": np.array([0.7, np.inf, np.inf, 1.5]),
}


def test_curves_by_hand() -> None:
    at = np.array([0, 0.1, 0.5, 0.6, 1.0, 1.1])
    assert certified_accuracy(ROWS, at).tolist() == [0.5, 0.5, 0.5, 0.25, 0.25, 0]
    assert empirical_accuracy(ROWS, at).tolist() == [0.75, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert mean_radius(ROWS) == pytest.approx(1.5 / 4)
    assert np.isnan(empirical_accuracy({**ROWS, "wrong_at": np.full(4, np.nan)}, at)).all()


def test_contradictions_are_compared_with_chance() -> None:
    seen = contradictions(ROWS, 0.0, 0.0, 1, 1e-6)
    assert (seen.count, seen.checked, seen.allowed, seen.refuted) == (1, 3, 0, True)
    many = {"radius": np.ones(1000), "other_at": np.where(np.arange(1000) < 4, 0.5, np.inf)}
    by_chance = contradictions(many, 0.001, 0.001, 1, 1e-6)
    assert by_chance.allowed == stats.binom.ppf(0.99, 1000, 0.002)
    assert not by_chance.refuted
