"""Rows of version 0.1: their files are not compared, and a plan of today supersedes them by their words."""

from __future__ import annotations

import pytest

from vauban.store import Store, load
from vauban.store.sources import earlier_version


@pytest.mark.parametrize(
    ("versions", "earlier"),
    [
        ({"vauban": "0.1.0"}, "0.1"),
        ({"vauban": "0.1.7"}, "0.1"),
        ({"vauban": "0.2.0"}, ""),
        ({"vauban": "0.10.0"}, ""),
        ({"vauban": "10.1.0"}, ""),
        ({"numpy": "0.1.0"}, ""),
        (None, ""),
    ],
)
def test_only_versions_0_1_are_earlier(versions, earlier):
    assert earlier_version({"versions": versions}) == earlier
    assert earlier_version({}) == ""


@pytest.mark.parametrize(("version", "stale"), [("0.1.0", False), ("0.2.0", True)])
def test_files_of_0_1_are_not_compared(tmp_path, meta, version, stale):
    gone = {"sources": {"vauban/engine/ask.py": "0" * 64}, "versions": {"vauban": version}}
    Store(tmp_path).cell("abc").create(meta | gone)
    (cell,) = load(tmp_path).cells
    assert cell.stale is stale
    assert bool(cell.changed) is stale


def test_unknown_versions_are_compared(tmp_path, meta):
    Store(tmp_path).cell("abc").create(meta | {"sources": {"/gone/attack.py": "0" * 64}})
    (cell,) = load(tmp_path).cells
    assert (cell.changed, cell.earlier_version) == (("/gone/attack.py",), "")


def test_the_words_of_a_plan_supersede_an_old_cell_whose_parameters_are_written_otherwise(tmp_path, meta):
    store = Store(tmp_path)
    old, now = {"versions": {"vauban": "0.1.0"}}, {"versions": {"vauban": "0.2.0"}}
    params = {"params": {"attack": {"name": "pgd", "steps": 40}}}
    store.cell("old").create(meta | old)
    store.cell("other-attack").create(meta | old | {"attack": "ddn"})
    store.cell("other-steps").create(meta | now)
    store.cell("planned").create(meta | now | params)
    store.write_study({"cells": ["planned"]})
    assert [cell.meta["hash"] for cell in load(tmp_path).cells if cell.superseded] == ["old"]
