"""Progress of certificates and measurements as lines, and their states in a run directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.table import Table

from vauban.cli.screens.layout import console, escape
from vauban.report.shared import format as fmt

if TYPE_CHECKING:
    from vauban.jobs.progress import Progress, Tell
    from vauban.store.job_rows import JobRows


def show_progress(so_far: Callable[[Sequence[Mapping[str, Any]]], str]) -> Tell:
    """What tells of jobs in lines: one when a job has ended, and one every few seconds on the way.

    Args:
        so_far: What a line says of the columns of the batches that were computed.
    """
    from vauban.evaluate.progress_lines import LinesDue, to_stderr

    due, batches = LinesDue(), dict[int, list[Mapping[str, Any]]]()

    def tell(progress: Progress) -> None:
        key = id(progress.work)
        seen = batches.setdefault(key, [])
        if progress.columns is not None:
            seen.append(progress.columns)
        if not due(key, progress.done, progress.total):
            return
        note = so_far(seen) if seen else "stored"
        if progress.failures:
            note += f", {fmt.plural(progress.failures, 'batch')} failed"
        to_stderr(f"{progress.work.label}: {progress.done}/{progress.total} {note}")

    return tell


def certified_so_far(batches: Sequence[Mapping[str, Any]]) -> str:
    """The share of images of which something is proved."""
    radii = [radius for columns in batches for radius in columns["radius"]]
    return f"certified {sum(radius > 0 for radius in radii) / len(radii):.0%}"


def measured_so_far(batches: Sequence[Mapping[str, Any]]) -> str:
    """The mean of a metric over the images that have a value."""
    values = [value for columns in batches for value in columns["value"] if value == value]  # not NaN
    return f"mean {sum(values) / len(values):.4g}" if values else "no value"


def show_rows(jobs: Sequence[JobRows], words: Callable[[JobRows], Sequence[str]]) -> None:
    """Print a line for each job of a kind, under headings.

    Args:
        jobs: The jobs, in the order of their words.
        words: What they are called: the last word names the line, those before it the heading.
    """
    for heading, group in groupby(jobs, key=lambda rows: " · ".join(words(rows)[:-1])):
        console.print(f"\n[bold]{escape(heading)}[/]", soft_wrap=True)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for _ in range(2):
            table.add_column(overflow="fold")
        table.add_column(justify="right", overflow="fold")
        table.add_column(overflow="fold")
        for rows in group:
            done = f"{len(rows.columns['id'])}/{rows.meta['n']}"
            table.add_row("  " + str(rows.meta["hash"])[:8], escape(words(rows)[-1]), done, escape(state_of(rows)))
        console.print(table)


def state_of(rows: JobRows) -> str:
    """One of complete, partial, failed, stale, with the reason."""
    if rows.changed:
        return stale(rows.changed)
    if rows.failures:
        return failed(rows.failures)
    return "complete" if rows.complete else "partial"


def stale(changed: Sequence[str]) -> str:
    """Which source files differ from those that made the rows."""
    names = sorted({path.rsplit("/", 1)[-1] for path in changed})
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"stale: {', '.join(names[:3])}{more} changed since"


def failed(failures: Sequence[Mapping[str, Any]]) -> str:
    """How many batches failed, and why the last did."""
    reason = next(iter(str(failures[-1]["error"]).splitlines()), "")
    return f"failed: {fmt.plural(len(failures), 'batch')}, the last with {reason}"
