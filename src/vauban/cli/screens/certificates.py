"""Progress of certificates as lines."""

from __future__ import annotations

from vauban.evaluate.progress_lines import LinesDue, to_stderr
from vauban.jobs.progress import Progress, Tell
from vauban.report.shared import format as fmt


def show_progress() -> Tell:
    """What tells of certificates in lines: one when it has ended, and one every few seconds on the way."""
    due, certified = LinesDue(), dict[int, list[bool]]()

    def tell(progress: Progress) -> None:
        key = id(progress.work)
        seen = certified.setdefault(key, [])
        if progress.columns is not None:
            seen += [radius > 0 for radius in progress.columns["radius"]]
        if not due(key, progress.done, progress.total):
            return
        note = f"certified {sum(seen) / len(seen):.0%}" if seen else "stored"
        if progress.failures:
            note += f", {fmt.plural(progress.failures, 'batch')} failed"
        to_stderr(f"{progress.work.label}: {progress.done}/{progress.total} {note}")

    return tell
