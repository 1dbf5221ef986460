"""Accuracy after each stage of an attack, on hand-made columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vauban.statistics.intervals import wilson
from vauban.statistics.stages import after_each
from vauban.statistics.summary import aimed, robust, select

NAN = math.nan


def columns(**values: Any) -> dict[str, np.ndarray[Any, Any]]:
    made = {name: np.asarray(value) for name, value in values.items()}
    n = len(made["misclassified"])
    base = {"id": np.arange(n), "y": np.zeros(n, int), "clean_correct": np.ones(n)}
    return base | {"reached": made["misclassified"], "success": made["misclassified"] > 0.5} | made


def test_each_stage_leaves_what_it_did_not_break() -> None:
    cell = columns(
        misclassified=[1, 1, 1, 0, 0, 1], broken_by=[0, 2, 2, NAN, NAN, NAN], clean_correct=[1, 1, 1, 1, 1, 0]
    )
    one, two, three = after_each(cell, ("a", "b", "c"))
    assert [after.stage for after in (one, two, three)] == ["a", "b", "c"]
    assert [after.broke for after in (one, two, three)] == [1, 0, 2]
    assert [after.accuracy.value for after in (one, two, three)] == [4 / 6, 4 / 6, 2 / 6]
    assert [after.accuracy.n for after in (one, two, three)] == [6] * 3
    assert one.accuracy.interval == wilson(4, 6)
    assert three.accuracy.interval == wilson(2, 6)


def test_a_sample_at_its_target_is_in_no_accuracy() -> None:
    cell = columns(misclassified=[1, 0, 0], broken_by=[1, NAN, NAN], target=[3, 3, 3], y=[0, 1, 3])
    assert [(after.accuracy.value, after.accuracy.n) for after in after_each(cell, "ab")] == [(1.0, 2), (0.5, 2)]


def test_an_image_outside_the_budget_breaks_nothing() -> None:
    cell = columns(misclassified=[1.0, 1.0], reached=[1.0, 1.0], success=[False, True], broken_by=[NAN, 0])
    assert [after.accuracy.value for after in after_each(cell, "ab")] == [0.5, 0.5]


@pytest.mark.parametrize(
    "cell",
    [
        columns(misclassified=[1.0, 0.0]),  # rows of before
        columns(misclassified=[1.0, 1.0], broken_by=[0, NAN]),  # one that does not say
    ],
)
def test_what_is_not_said_is_not_told(cell: dict[str, np.ndarray[Any, Any]]) -> None:
    assert after_each(cell, "ab") == ()


def test_an_attack_of_one_stage_has_none() -> None:
    assert after_each(columns(misclassified=[1.0], broken_by=[0]), ("a",)) == ()
    assert after_each(columns(misclassified=[1.0], broken_by=[0]), ()) == ()


@given(st.lists(st.tuples(st.sampled_from([0, 0.3, 0.95, 1]), st.floats(0, 1), st.integers(0, 3)), min_size=1))
def test_accuracies_fall_to_that_of_the_whole_attack(rows: list[tuple[float, float, int]]) -> None:
    clean, wrong, stage = (np.asarray(column, float) for column in zip(*rows, strict=True))
    cell = columns(misclassified=wrong, clean_correct=clean, broken_by=np.where(wrong > 0, stage, NAN))
    values = [after.accuracy.value for after in after_each(cell, "abcd")]
    assert values == sorted(values, reverse=True)
    assert values[-1] == robust(select(cell, aimed(cell))).sum() / len(rows)
