"""A run that is killed at any moment loses at most the batch in flight, and ends with the rows of a run that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vauban.store import query

pytestmark = pytest.mark.slow

DRIVER = Path(__file__).with_name("kill_driver.py")
BATCHES = 6


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, hang_after: float) -> tuple[Path, dict[str, Any]]:
    """The folder of all runs and what the driver saw."""
    if not hasattr(os, "fork"):
        pytest.skip("no os.fork on this system")
    root = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(root)],
        capture_output=True,
        text=True,
        timeout=hang_after,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout.splitlines()[-1])


def columns(out: Path) -> dict[str, np.ndarray[Any, Any]]:
    (cell,) = query.load(out).cells
    assert cell.complete
    return cell.columns


def equal(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for name, values in a.items():
        if values.dtype == object:
            assert values.tolist() == b[name].tolist(), name
        else:
            assert values.tobytes() == b[name].tobytes(), name  # NaN and infinity included


def test_every_run_was_really_killed_and_resumed(killed: tuple[Path, dict[str, Any]]) -> None:
    runs = killed[1]["runs"]
    assert [run["out"] for run in runs if not run["killed"]] == []
    assert all(run["resumed"] == 0 for run in runs)
    assert {len(run["before"]) for run in runs} == set(range(BATCHES + 1))  # before the first part ... after the last


def test_resumed_rows_are_those_of_an_uninterrupted_run(killed: tuple[Path, dict[str, Any]]) -> None:
    root, seen = killed
    whole = columns(root / "whole")
    assert len(whole["id"]) == 24
    for run in seen["runs"]:
        equal(whole, columns(Path(run["out"])))


def test_at_most_the_batch_in_flight_is_lost(killed: tuple[Path, dict[str, Any]]) -> None:
    for run in killed[1]["runs"]:
        assert run["before"] == list(range(len(run["before"])))
        assert len(run["before"]) >= run["reported"]  # what was reported as done is stored
        assert run["ran"] == list(range(len(run["before"]), BATCHES))  # what was stored is not done again


def test_no_temporary_file_is_left(killed: tuple[Path, dict[str, Any]]) -> None:
    root = killed[0]
    left = [path for path in root.rglob(".*.tmp") if "cells" in path.parts and path.parent.name == "parts"]
    assert not left


def test_two_processes_on_one_directory_make_one_set_of_parts(killed: tuple[Path, dict[str, Any]]) -> None:
    root, seen = killed
    assert seen["together"] == [0, 0]
    assert sorted(path.name for path in root.glob("together/cells/*/parts/*")) == [
        f"{i:05d}.parquet" for i in range(BATCHES)
    ]
    equal(columns(root / "whole"), columns(root / "together"))
