"""Progress of a study as plain lines: where there is no terminal, and in Python."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from vauban.evaluate.job import CellJob
from vauban.jobs.progress import Progress, Tell
from vauban.report.shared import format as fmt

PAUSE = 10.0  # seconds between two lines on one thing


def to_stderr(line: str) -> None:
    """Print a line where errors go, so that what a program prints stays clear."""
    print(line, file=sys.stderr, flush=True)


def successes(rows: Mapping[str, Any]) -> list[float]:
    """Success of each image of a part, 0 to 1, without those whose target is their own label."""
    success = rows["success"]
    return [float(value) for value in (success[rows["target"] != rows["y"]] if "target" in rows else success)]


class LinesDue:
    """When a line on some work is due: where it has ended, and where PAUSE seconds have passed since the last."""

    def __init__(self) -> None:
        self._told: dict[Hashable, float] = {}

    def __call__(self, work: Hashable, done: int, total: int) -> bool:
        """Whether a line is due for work of which `done` of `total` samples are done; if so, it counts as written."""
        now = time.monotonic()
        due = done >= total or now - self._told.setdefault(work, now) >= PAUSE
        if due:
            self._told[work] = now
        return due


def progress_lines(write: Callable[[str], None] = to_stderr, label: Callable[[Any], str] | None = None) -> Tell:
    """What tells of a study in lines: one when a cell has ended, and one every few seconds on the way.

    Args:
        write: Takes a line.
        label: From a cell to its name; None for its own label.
    """
    fooled: dict[int, list[float]] = defaultdict(list)
    due = LinesDue()

    def tell(progress: Progress) -> None:
        if not isinstance(progress.work, CellJob):
            return
        cell, key = progress.work.cell, id(progress.work)
        if progress.columns is not None:
            fooled[key] += successes(progress.columns)
        if not due(key, progress.done, progress.total):
            return
        seen = fooled[key]
        note = f"fooled {sum(seen) / len(seen):.0%}" if seen else "stored"
        if progress.failures:
            failed = f"{fmt.plural(progress.failures, 'batch')} failed"
            note = f"{note}, {failed}" if seen else failed
        name = cell.label if label is None else label(cell)
        write(f"{name}: {progress.done}/{progress.total} {note}")

    return tell
