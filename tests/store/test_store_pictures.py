"""Pictures are read when they are looked at: rows without them cost no bytes of theirs."""

from __future__ import annotations

import numpy as np
import pytest

from vauban.store import query
from vauban.store.parquet import Store
from vauban.store.part import read_part
from vauban.store.schema import PICTURES


@pytest.fixture
def store(tmp_path, make_batch, meta):
    store = Store(tmp_path)
    cell = store.cell("abc")
    cell.create(meta)
    pictures = ([b"a", b"b", b"c", b"d"], [None] * 4, [None, b"k", None, None])
    for index, column in enumerate(pictures):
        rows = make_batch(range(4 * index, 4 * index + 4), index)
        adversarial = [None if p is None else p.upper() for p in column]
        cell.append(index, {**rows, "clean_png": column, "adv_png": adversarial})
    store.write_study({"cells": ["abc"]})
    return store


def test_rows_are_the_same_without_their_pictures(store):
    whole, bare = (query.load(store.path, pictures=p).cells[0] for p in (True, False))
    assert set(whole.columns) - set(bare.columns) == set(PICTURES)
    for name, values in bare.columns.items():
        np.testing.assert_array_equal(values, whole.columns[name])
    assert (bare.meta, bare.complete, bare.damaged) == (whole.meta, whole.complete, whole.damaged)


def test_pictures_are_those_of_their_row(store):
    whole, bare = (query.load(store.path, pictures=p).cells[0] for p in (True, False))
    expected = [True] * 4 + [False] * 4 + [False, True, False, False]
    assert bare.pictured.tolist() == whole.pictured.tolist() == expected
    for row in np.flatnonzero(bare.pictured):
        for name in PICTURES:
            assert bare.picture(name, int(row)) == whole.columns[name][row]


def test_status_and_report_read_no_column_of_pictures(store, monkeypatch):
    from vauban.report.run import page
    from vauban.store import stored_part

    read: list[str] = []

    def reading(path, wanted=None, group=None):
        rows = read_part(path, wanted, group)
        read.extend(rows.schema.names)
        return rows

    monkeypatch.setattr(stored_part, "read_part", reading)
    page.write(store.path)
    assert "l2" in read
    assert not set(read) & set(PICTURES)
