"""Who is audited and what an audit says, on columns made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vauban.statistics.audit import audit, due, sample_size


def columns(n: int, spared: int, audited: int = 0, broken: int = 0) -> dict[str, np.ndarray]:
    """The first `audited` of n samples audited, `broken` of these broken, then `spared` more spared, the rest given all."""
    at = np.arange(n)
    hit = at < broken
    return {
        "id": at,
        "y": at % 10,
        "clean_correct": np.ones(n),
        "clean_label": at % 10,
        "misclassified": hit.astype(float),
        "success": hit,
        "spared": (at >= audited) & (at < audited + spared),
        "audited": at < audited,
    }


def test_nothing_spared_needs_no_audit() -> None:
    assert audit(columns(20, 0)) is None
    assert not due(columns(20, 0), np.arange(20.0), everybody=True).any()


@pytest.mark.parametrize(("spared", "size"), [(0, 0), (7, 7), (30, 30), (31, 30), (300, 30), (301, 31), (1000, 100)])
def test_thirty_or_a_tenth_are_drawn_and_no_more_than_there_are(spared: int, size: int) -> None:
    assert sample_size(spared) == size


@given(st.integers(1, 400), st.integers(0, 2**32))
def test_the_draw_is_of_the_spared_ones_and_by_their_number_alone(spared: int, seed: int) -> None:
    rows = columns(450, spared)
    order = np.random.default_rng(seed).permutation(450).astype(float)
    drawn = due(rows, order, everybody=False)
    assert drawn.sum() == sample_size(spared)
    assert not drawn[spared:].any()
    assert order[:spared][drawn[:spared]].max() == np.sort(order[:spared])[sample_size(spared) - 1]
    turned = np.random.default_rng(seed).permutation(450)
    again = due({name: values[turned] for name, values in rows.items()}, order[turned], everybody=False)
    assert set(rows["id"][drawn]) == set(rows["id"][turned][again])


def test_a_miss_or_a_suspicion_sends_everybody_who_stands() -> None:
    rows, order = columns(100, 50, audited=30, broken=1), np.arange(100.0)
    chosen = due(rows, order, everybody=False)
    assert (chosen == (np.arange(100) >= 30)).all()
    calm = columns(100, 50, audited=30)
    assert not due(calm, order, everybody=False).any()
    assert due(calm, order, everybody=True).sum() == 70


def test_the_bound_is_exact_for_a_draw_without_replacement() -> None:
    said = audit(columns(36, 6, audited=30))
    assert said is not None
    assert said.bound == 1 / 36  # one bad image is among the other 6 in 17 % of the draws, two are in 2.4 %
    said = audit(columns(400, 370, audited=30))
    assert said is not None
    assert (said.spared, said.audited, said.missed, said.pending) == (400, 30, 0, True)  # a tenth would be 40
    chances = [math.comb(400 - bad, 30) / math.comb(400, 30) for bad in range(371)]
    assert said.bound == max(bad for bad, chance in enumerate(chances) if chance > 0.05) / 400
    done = audit(columns(300, 270, audited=30))
    assert done is not None
    assert not done.pending
    assert "at most" in str(done)
    assert audit(columns(30, 0, audited=30, broken=2)).bound == pytest.approx(2 / 30)  # type: ignore[union-attr]


def test_a_miss_leaves_the_rest_pending() -> None:
    said = audit(columns(300, 270, audited=30, broken=1))
    assert said is not None
    assert said.pending
