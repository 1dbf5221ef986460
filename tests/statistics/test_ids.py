"""Ids of several cells: the short way, for cells of one order, gives what the long one does."""

from __future__ import annotations

import numpy as np

from vauban.statistics.ids import ids_of_any
from vauban.statistics.summary import common_ids, select


def test_ids_in_any_order_and_twice() -> None:
    one, other = np.array([1, 4, 9]), np.array([9, 2, 2])
    assert ids_of_any([]).tolist() == []
    assert ids_of_any([one, one.copy()]).tolist() == [1, 4, 9]
    assert ids_of_any([other]).tolist() == [2, 9]
    assert ids_of_any([one, one[:2]]).tolist() == [1, 4, 9]
    assert ids_of_any([one, other]).tolist() == [1, 2, 4, 9]


def test_ids_that_all_have_right() -> None:
    cells = [
        {"id": np.array([5, 3, 1, 7]), "clean_correct": np.array([1.0, 1, 0, 1])},
        {"id": np.array([1, 3, 7, 9]), "clean_correct": np.array([1.0, 1, 1, 1])},
    ]
    assert common_ids(cells).tolist() == [3, 7]
    assert common_ids(cells[:1]).tolist() == [3, 5, 7]


def test_a_selection_takes_the_columns_that_are_asked_for() -> None:
    columns = {"a": np.arange(4), "b": np.arange(4) * 2}
    some = select(columns, np.array([True, False, True, False]))
    assert {name: values.tolist() for name, values in some.items()} == {"a": [0, 2], "b": [0, 4]}
    assert some["b"] is some["b"]
    assert select(columns, np.array([3, 0]))["a"].tolist() == [3, 0]
    assert select(columns, np.ones(4, bool)) is columns
    assert len(select({"a": np.empty(0)}, np.empty(0, bool))["a"]) == 0
