"""`vauban status|table|report` on the rows of version 0.1."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

OLD = Path(__file__).parents[1] / "fixtures" / "vauban-0.1" / "study"


def test_status_names_the_version_that_made_old_rows(vauban: Callable[..., Any], project: Path) -> None:
    shutil.copytree(OLD, project / "old")
    ran = vauban("status", "old")
    assert ran.code == 0
    assert ran.out.count("24/24") == 4
    assert ran.out.count("complete; made by vauban 0.1") == 4
    assert "4 cells: 4 complete; 4 made by vauban 0.1" in ran.out
    assert "stale" not in ran.out


def test_table_and_report_read_old_rows(vauban: Callable[..., Any], project: Path) -> None:
    shutil.copytree(OLD, project / "old")
    assert vauban("table", "old").out.count("made by vauban 0.1") == 4
    assert vauban("report", "old").code == 0
    assert "made by vauban 0.1" in (project / "old" / "report.html").read_text(encoding="utf-8")
