"""Progress of a study as plain lines: where there is no terminal, and in Python."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from vauban.evaluate.job import CellJob
from vauban.jobs.progress import Progress, Tell

PAUSE = 10.0  # seconds between two lines on one cell


def to_stderr(line: str) -> None:
    """Print a line where errors go, so that what a program prints stays clear."""
    print(line, file=sys.stderr, flush=True)


def successes(rows: Mapping[str, Any]) -> list[float]:
    """Success of each image of a part, 0 to 1, without those whose target is their own label."""
    success = rows["success"]
    return [float(value) for value in (success[rows["target"] != rows["y"]] if "target" in rows else success)]


def progress_lines(write: Callable[[str], None] = to_stderr, label: Callable[[Any], str] | None = None) -> Tell:
    """What tells of a study in lines: one when a cell has ended, and one every few seconds on the way.

    Args:
        write: Takes a line.
        label: From a cell to its name; None for its own label.
    """
    fooled: dict[int, list[float]] = defaultdict(list)
    told: dict[int, float] = {}

    def tell(progress: Progress) -> None:
        if not isinstance(progress.work, CellJob):
            return
        cell, key, now = progress.work.cell, id(progress.work), time.monotonic()
        if progress.columns is not None:
            fooled[key] += successes(progress.columns)
        if progress.done < progress.total and now - told.setdefault(key, now) < PAUSE:
            return
        told[key] = now
        seen = fooled[key]
        note = f"fooled {sum(seen) / len(seen):.0%}" if seen else "stored"
        if progress.failures:
            failed = f"{progress.failures} batch{'es' if progress.failures > 1 else ''} failed"
            note = f"{note}, {failed}" if seen else failed
        name = cell.label if label is None else label(cell)
        write(f"{name}: {progress.done}/{progress.total} {note}")

    return tell
