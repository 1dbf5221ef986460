"""Operating points and curves of detectors: brute force over thresholds, and a case by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vauban.core.errors import ContractError
from vauban.statistics.detection import area, operating_point, own_point, roc, worst_success


def columns(clean, attacked, reaching, right=None):
    n = len(clean)
    return {
        "id": np.arange(n),
        "y": np.zeros(n, int),
        "clean_excess": np.asarray(clean, float),
        "excess": np.asarray(attacked, float),
        "class_reached": np.asarray(reaching, float),
        "clean_class_reached": np.zeros(n) if right is None else 1 - np.asarray(right, float),
    }


HAND = columns([-4, -3, -2, 1], [-3.5, -1, 0.5, 2], [1, 1, 1, 0])


def test_a_case_by_hand() -> None:
    """At its own threshold one original in four is rejected, and two of four images get through."""
    own = own_point(HAND)
    assert (own.false_positives.value, own.success.value, own.success.n) == (0.25, 0.5, 4)
    assert own.detected.value == pytest.approx(1 / 3)
    half = operating_point(HAND, 0.5)  # originals above -3 are rejected
    assert (half.threshold, half.false_positives.value, half.success.value) == (-3, 0.5, 0.25)
    none = operating_point(HAND, 0.0)
    assert (none.threshold, none.false_positives.value, none.success.value) == (1, 0, 0.75)


def test_an_image_that_was_wrong_before_is_nobodys_success() -> None:
    point = operating_point(columns([-4, -3, -2, 1], [-9] * 4, [1] * 4, right=[1, 1, 0, 0]), 0.25)
    assert (point.success.value, point.success.n) == (1, 2)
    assert point.false_positives.n == 4


scores = st.lists(st.tuples(*[st.integers(-5, 5)] * 2, st.booleans()), min_size=1, max_size=30)


@given(scores, st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.95]))
def test_the_threshold_is_the_lowest_that_keeps_the_rate(rows, share) -> None:
    held = columns(*zip(*rows, strict=True))
    point = operating_point(held, share)
    clean = held["clean_excess"]
    assert (clean > point.threshold).mean() <= share
    lower = clean[clean < point.threshold]
    assert not len(lower) or (clean > lower.max()).mean() > share
    assert point.success.value == pytest.approx(
        ((held["excess"] <= point.threshold) & (held["class_reached"] > 0)).mean()
    )


@given(scores)
def test_the_curve_and_its_area_by_brute_force(rows) -> None:
    held = columns(*zip(*rows, strict=True))
    attacked = held["excess"][held["class_reached"] > 0]
    x, y = roc(held)
    if not len(attacked):
        assert not len(x)
        assert np.isnan(area(held))
        return
    clean = held["clean_excess"]
    every = sorted({*clean, *attacked}, reverse=True)
    assert x == pytest.approx([*((clean > t).mean() for t in every), 1])
    assert y == pytest.approx([*((attacked > t).mean() for t in every), 1])
    pairs = np.sign(attacked[:, None] - clean).mean() / 2 + 0.5
    assert area(held) == pytest.approx(pairs)
    assert area(held) == pytest.approx(np.trapezoid(y, x))


def test_several_attacks_take_the_worst_of_each_image() -> None:
    other = columns([-4, -3, -2, 1], [9, 9, 9, -9], [1, 1, 1, 1])
    assert worst_success([HAND, other], 0.0).value == 0.75
    assert worst_success([HAND, other], 0.0).n == 4


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none(share) -> None:
    with pytest.raises(ContractError, match="expected a share of false positives"):
        operating_point(HAND, share)


def test_rows_of_a_network_that_rejects_nothing() -> None:
    with pytest.raises(ContractError, match="expected rows of a network that rejects images"):
        operating_point(columns([np.nan], [np.nan], [0]), 0.05)
