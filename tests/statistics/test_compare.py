"""The interval of a difference against published values, brute force and simulation; every reason class by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vauban.core.errors import ContractError
from vauban.statistics.compare import REASONS, compare, difference, two_sample
from vauban.statistics.intervals import Interval

SIZES = st.integers(1, 3000)
RATES = st.floats(0, 1)


@pytest.mark.parametrize(
    ("a", "m", "b", "n", "low", "high"),
    [  # Newcombe (1998), table II, method 10
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (0, 10, 0, 10, -0.2775, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0),
        (10, 10, 0, 10, 0.6075, 1.0),
    ],
)
def test_published_examples(a, m, b, n, low, high):
    found = two_sample(a / m, m, b / n, n)
    assert found.low == pytest.approx(low, abs=5.1e-5)
    assert found.high == pytest.approx(high, abs=5.1e-5)


@given(RATES, SIZES, RATES, SIZES)
def test_swapping_the_samples_mirrors_the_interval(p, m, q, n):
    one, two = two_sample(p, m, q, n), two_sample(q, n, p, m)
    assert one.low == pytest.approx(-two.high, abs=1e-12)
    assert one.high == pytest.approx(-two.low, abs=1e-12)


@given(RATES, SIZES, RATES, SIZES)
def test_the_difference_lies_inside_and_the_interval_inside_the_possible(p, m, q, n):
    low, high = two_sample(p, m, q, n)
    assert -1 - 1e-12 <= low <= p - q <= high <= 1 + 1e-12
    wider = two_sample(p, m, q, n, level=0.99)
    assert wider.low < low
    assert high < wider.high


@pytest.mark.slow
@pytest.mark.parametrize(
    ("p", "q", "m", "n"), [(0.03, 0.03, 200, 1000), (0.5, 0.42, 100, 1000), (0.9, 0.97, 300, 1000)]
)
def test_covers_the_true_difference_of_binomials(p, q, m, n):
    draws = 4000
    generator = np.random.Generator(np.random.PCG64(7))
    pairs = zip(generator.binomial(m, p, draws) / m, generator.binomial(n, q, draws) / n, strict=True)
    inside = sum(low <= p - q <= high for low, high in (two_sample(a, m, b, n) for a, b in pairs))
    # Nominal 0.95; Newcombe's own study finds mean coverage 0.95 and a minimum near 0.92 over such sizes.
    assert 0.93 < inside / draws < 0.98


def test_the_printed_rate_is_noisy_too():
    known = two_sample(0.5, 100, 0.6, 10**9)
    assert known.high < 0 < two_sample(0.5, 100, 0.6, 100).high


def test_square_and_add_of_normal_limits_is_the_two_sample_z_interval():
    z = stats.norm.ppf(0.975)
    found = difference(0.7, Interval(0.7 - 0.03 * z, 0.7 + 0.03 * z), 0.5, Interval(0.5 - 0.04 * z, 0.5 + 0.04 * z))
    assert found == pytest.approx((0.2 - 0.05 * z, 0.2 + 0.05 * z))


@pytest.mark.parametrize(
    "values", [(1.2, 10, 0.5, 10), (0.5, 10, -0.1, 10), (0.5, -1, 0.5, 10), (float("nan"), 9, 0, 9)]
)
def test_impossible_rates_are_refused(values):
    with pytest.raises(ContractError, match="expected"):
        two_sample(*values)


ROW = {"key": {"network": "A"}, "label": "A", "metric": "accuracy", "n": 1000, "printed": 0.9, "printed_n": 1000}


def row(**changed):
    return compare(**(ROW | {"per_seed": [0.5], "setting": "same"} | changed))


@pytest.mark.parametrize(
    ("changed", "reason", "word"),
    [
        ({}, "real disagreement", "exceeds chance"),
        ({"per_seed": [0.89]}, "compatible", "zero"),
        ({"n": 500}, "smaller scale", "500 of the paper's 1000 images"),
        ({"smaller": "1 of 5 seeds"}, "smaller scale", "1 of 5 seeds"),
        ({"ambiguous": "the loss is not stated"}, "ambiguous text", "the loss is not stated"),
        ({"setting": "stand-in"}, "different setting", "neither confirms nor refutes"),
        ({"certain": False, "note": "digit lost"}, "not scored", "digit lost"),
        ({"printed": None}, "not scored", "prints no such number"),
        ({"per_seed": []}, "not scored", "Nothing was measured"),
    ],
)
def test_each_reason(changed, reason, word):
    found = row(**changed)
    assert found["reason"] == reason
    assert word in found["why"]
    assert found["why"].endswith(".")
    assert "\n" not in found["why"]
    assert reason in REASONS


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        # The first that applies, in the order of what excludes a judgement.
        ({"certain": False, "setting": "stand-in"}, "not scored"),
        ({"setting": "stand-in", "per_seed": [0.9]}, "different setting"),
        ({"setting": "stand-in", "n": 10, "ambiguous": "x"}, "different setting"),
        ({"n": 500, "ambiguous": "x"}, "smaller scale"),
        ({"n": 500, "ambiguous": "x", "per_seed": [0.9]}, "compatible"),
    ],
)
def test_which_reason_goes_first(changed, reason):
    assert row(**changed)["reason"] == reason


def test_the_numbers_of_a_row():
    found = row(per_seed=[0.4, 0.5], raw="90%")
    assert found["ours"] == pytest.approx(0.45)
    assert found["difference"] == pytest.approx(-0.45)
    assert (found["diff_low"], found["diff_high"]) == pytest.approx(two_sample(0.45, 1000, 0.9, 1000))
    assert found["low"] < 0.45 < found["high"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_uncertain_values_keep_their_numbers():
    found = row(certain=False)
    assert found["printed"] == 0.9
    assert found["difference"] == pytest.approx(-0.4)


def test_nothing_printed_or_measured_leaves_no_difference():
    blank, empty = row(printed=None), row(per_seed=[])
    assert blank["ours"] == 0.5
    assert empty["ours"] is empty["low"] is empty["high"] is None
    for found in (blank, empty):
        assert found["difference"] is found["diff_low"] is found["diff_high"] is None


def test_a_mean_brings_its_own_interval_and_the_print_the_largest_noise():
    narrow = row(metric="target_confidence", per_seed=[0.9], printed=0.95, printed_n=1, interval=Interval(0.89, 0.91))
    assert (narrow["low"], narrow["high"]) == (0.89, 0.91)
    # One picture says next to nothing of a mean.
    assert narrow["reason"] == "compatible"
    many = row(metric="target_confidence", per_seed=[0.9], printed=0.95, interval=Interval(0.89, 0.91))
    assert many["reason"] == "real disagreement"


def test_an_unknown_setting_is_refused():
    with pytest.raises(ContractError, match="stand-in"):
        row(setting="similar")


def distance(**changed):
    given = {
        "metric": "D_avg_L2",
        "unit": "distance",
        "printed": 1.44,
        "per_seed": [1.6],
        "interval": Interval(1.5, 1.7),
    }
    return row(**(given | changed))


def test_a_distance_may_exceed_one_and_its_interval_is_shifted_by_the_print():
    found = distance(per_seed=[5.7, 5.9], printed=5.02, interval=Interval(5.5, 6.25))
    assert (found["unit"], found["ours"], found["printed"]) == ("distance", pytest.approx(5.8), 5.02)
    assert (found["low"], found["high"]) == (5.5, 6.25)
    assert (found["difference"], found["diff_low"], found["diff_high"]) == pytest.approx((0.78, 0.48, 1.23))
    assert found["reason"] == "real disagreement"
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert row()["unit"] == "rate"


def test_the_size_of_the_papers_sample_does_not_widen_a_distance():
    assert distance(printed_n=1, n=1)["diff_low"] == distance(printed_n=1000)["diff_low"] == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("changed", "reason", "told"),
    [
        ({}, "real disagreement", True),
        ({"interval": Interval(1.4, 1.8)}, "compatible", True),
        ({"n": 500}, "smaller scale", True),
        ({"ambiguous": "the norm is not stated"}, "ambiguous text", True),
        ({"setting": "stand-in"}, "different setting", False),
        ({"certain": False}, "not scored", False),
        ({"per_seed": [], "interval": None}, "not scored", False),
    ],
)
def test_each_reason_of_a_distance_says_that_the_print_has_no_spread(changed, reason, told):
    found = distance(**changed)
    assert found["reason"] == reason
    assert ("prints no spread" in found["why"]) is told


def test_a_limit_without_end_is_no_number_and_contains_zero():
    found = distance(interval=Interval(0.0, float("inf")))
    assert (found["low"], found["high"], found["diff_high"]) == (0.0, None, None)
    assert found["diff_low"] == pytest.approx(-1.44)
    assert found["reason"] == "compatible"
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"per_seed": [float("inf")]}, "finite"),
        ({"per_seed": [-0.1]}, "at least 0"),
        ({"printed": float("nan")}, "printed"),
        ({"interval": None}, "interval"),
        ({"unit": "share"}, "'rate' or 'distance'"),
    ],
)
def test_impossible_distances_are_refused(changed, word):
    with pytest.raises(ContractError, match=word) as error:
        distance(**changed)
    assert "\n" not in str(error.value)
