"""The benchmark of big runs writes what an evaluation leaves, at a small scale."""

from __future__ import annotations

from pathlib import Path

from benchmarks.big_run import Plan, build, measured

from vauban.store import load


def test_the_run_is_whole_and_compacted_and_a_command_reads_it(tmp_path: Path) -> None:
    build(tmp_path, Plan(cells=1, rows=128, part=4))
    (cell,) = load(tmp_path).cells
    assert cell.complete
    assert [path.name for path in (tmp_path / "cells" / cell.meta["hash"]).glob("**/*.parquet")] == ["rows.parquet"]
    assert 0 < cell.columns["success"].mean() < 1
    seconds, used, memory = measured(tmp_path, ("status",))
    assert min(seconds, used, memory) > 0
