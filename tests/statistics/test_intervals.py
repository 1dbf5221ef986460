"""Intervals against published values, closed forms and brute-force coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vauban.core.errors import ContractError
from vauban.statistics import intervals


# Newcombe, Statistics in Medicine 17 (1998) 857-872, Table I: the examples 81/263, 15/148, 0/20, 1/29.
@pytest.mark.parametrize(
    ("count", "n", "score", "exact"),
    [
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_published_single_rates(count, n, score, exact):
    assert intervals.wilson(count, n) == pytest.approx(score, abs=6e-5)
    assert intervals.clopper_pearson(count, n) == pytest.approx(exact, abs=6e-5)


# Cells (both, first only, second only, neither). Newcombe, Statistics in Medicine 17 (1998) 2635-2650, method 10; the
# second by hand: both rates are 1, so both margins are the Wilson limit 1 - 54/(54 + z^2) and no correlation is defined.
@pytest.mark.parametrize(
    ("cells", "expected"), [((36, 12, 2, 0), (0.0569, 0.3404)), ((54, 0, 0, 0), (-0.0664, 0.0664))]
)
def test_published_paired_differences(cells, expected):
    both, first, second, neither = cells
    a = np.array([1] * both + [1] * first + [0] * second + [0] * neither, bool)
    b = np.array([1] * both + [0] * first + [1] * second + [0] * neither, bool)
    low, high = intervals.paired_difference(a, b)
    assert (low, high) == pytest.approx(expected, abs=6e-5)
    swapped = intervals.paired_difference(b, a)
    assert (-swapped.high, -swapped.low) == pytest.approx((low, high))


@pytest.mark.parametrize("n", [12, 60])
def test_coverage_by_enumeration(n):
    """Every outcome is enumerated: Clopper-Pearson never covers less than 95 %, Wilson does so on average."""
    counts = np.arange(n + 1)
    score = np.array([intervals.wilson(k, n) for k in counts])
    exact = np.array([intervals.clopper_pearson(k, n) for k in counts])
    covered_score, covered_exact = [], []
    for p in np.linspace(0.01, 0.99, 197):
        mass = stats.binom.pmf(counts, n, p)
        covered_score.append(mass[(score[:, 0] <= p) & (p <= score[:, 1])].sum())
        covered_exact.append(mass[(exact[:, 0] <= p) & (p <= exact[:, 1])].sum())
    assert min(covered_exact) >= 0.95 - 1e-12
    assert np.mean(covered_score) == pytest.approx(0.95, abs=0.01)
    assert min(covered_score) > 0.83


@pytest.mark.slow
def test_paired_coverage():
    generator = np.random.default_rng(3)
    hit = 0
    for _ in range(400):
        shared = generator.random(120)
        a, b = shared + generator.normal(0, 0.2, 120) < 0.7, shared + generator.normal(0, 0.2, 120) < 0.5
        low, high = intervals.paired_difference(a, b)
        truth = _probability(0.7) - _probability(0.5)
        hit += low <= truth <= high
    assert hit / 400 > 0.92


def _probability(limit):
    grid = (np.arange(20000) + 0.5) / 20000
    return stats.norm.cdf((limit - grid) / 0.2).mean()


def test_mcnemar_by_hand():
    a = np.array([1, 1, 1, 1, 1, 0, 1, 0], bool)
    b = np.array([0, 0, 0, 0, 0, 1, 1, 0], bool)
    # 5 against 1: P(X >= 5 or X <= 1), X ~ Binomial(6, 1/2) = 2 (6 + 1) / 64
    assert intervals.mcnemar(a, b) == pytest.approx(14 / 64)
    assert intervals.mcnemar(a, a) == 1.0


def test_empty_and_wrong_input():
    assert intervals.wilson(0, 0) == (0.0, 1.0)
    assert intervals.clopper_pearson(0, 0) == (0.0, 1.0)
    with pytest.raises(ContractError, match="expected 0 <= count <= n"):
        intervals.wilson(3, 2)
    with pytest.raises(ContractError, match="align by id"):
        intervals.mcnemar(np.ones(2, bool), np.ones(3, bool))
