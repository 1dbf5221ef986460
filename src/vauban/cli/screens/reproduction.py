"""Experiments on the screen: the list, the progress, ours beside printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vauban.cli.screens.layout import console, indented, listing, plural

if TYPE_CHECKING:
    from vauban.report.reproduction.printed_table import TableLine
    from vauban.statistics.compare import ComparisonRow


def show_experiments() -> None:
    """Every experiment: id, title, and the minutes of each scale on two cores."""
    from vauban import reproduce as experiments

    table = listing("id", "title", "scale (minutes)")
    for entry in experiments.registry:
        found = experiments.load(entry.name)
        scales = ", ".join(f"{name} ({scale.minutes:g})" for name, scale in found.scales.items())
        table.add_row(escape(found.id), escape(found.title), escape(scales))
    console.print(table)


def reproduce_with_progress(name: str, scale: str, out: Path, **options: Any) -> Path:
    """Run an experiment under a live bar, one line for crafting and one for judging; returns its folder."""
    from vauban import reproduce as experiments

    fields = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("images"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    tasks: dict[str, Any] = {}
    bar = Progress(*fields, console=console)

    def progress(what: str, done: int, total: int) -> None:
        if not tasks:
            bar.start()
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total)
        bar.update(tasks[what], completed=done)

    try:
        return experiments.reproduce(name, scale, out, progress=progress, **options)
    finally:
        if tasks:  # a mistake told before anything runs leaves no empty bar
            bar.stop()


def show_reproduction(folder: Path) -> int:
    """Print ours beside printed, and the path of the page; returns how many batches failed."""
    from vauban.report.reproduction.dot_panels import short
    from vauban.report.reproduction.printed_table import gathered
    from vauban.store import files

    told = files.read_json(folder / "reproduction.json")
    console.print(
        f"\n[bold]{escape(told['id'])}[/], scale {escape(told['scale'])}: {escape(told['title'])}", soft_wrap=True
    )
    console.print(indented(escape(told["scale_note"])))
    rows = told["rows"] + told["beyond"]
    found = gathered(rows, short)
    many = [] if found is None else [line for line in found.lines if sum(row is not None for row in line.rows) > 1]
    if found is not None and many:
        console.print(_wide(many, found.metrics))
    within = {name for line in many for name in line.names}
    if alone := [row for row in rows if short(row) not in within]:
        console.print(_long(alone))
    for note in told["notes"]:
        console.print(indented(escape(note)))
    failures = int(told.get("failures", 0))
    if failures:
        console.print(
            f"\n[red]{plural(failures, 'batch')} failed[/]; run the same command to try again", soft_wrap=True
        )
    console.print(f"\nreport: [bold]{escape(str((folder / 'report.html').resolve()))}[/]", soft_wrap=True)
    return failures


def _long(rows: list[ComparisonRow]) -> Table:
    """A line for each number, with its interval and what is made of the difference."""
    table = listing("", ">printed", ">ours", ">95 % interval", "reading")
    for row in rows:
        name = row["label"] or ", ".join(text for text in row["key"].values() if text)
        printed, ours, low, high = (
            _measured(value, row) for value in (row["printed"], row["ours"], row["low"], row["high"])
        )
        table.add_row(
            escape(name),
            printed,
            ours,
            f"{low} to {high}" if low else "",
            escape(row["reason"]) if row["key"] else "beyond the paper",
        )
    return table


def _wide(lines: list[TableLine], metrics: tuple[str, ...]) -> Table:
    """A line for each cell with all its metrics, printed and ours or ours alone; the report has intervals and readings."""
    kept = [at for at in range(len(metrics)) if any(line.rows[at] for line in lines)]
    table = listing("printed, ours", *(f">{metrics[at]}" for at in kept))
    for line in lines:
        found = [line.rows[at] for at in kept]
        table.add_row(escape(line.names[0]), *("" if row is None else _both(row) for row in found))
    return table


def _both(row: ComparisonRow) -> str:
    ours = _measured(row["ours"], row) or "none"
    return ours if row["printed"] is None else f"{_measured(row['printed'], row)}, {ours}"


def _measured(value: float | None, row: ComparisonRow) -> str:
    """A number of a row in its unit: a rate in per cent, a distance as it is."""
    if value is None:
        return ""
    return f"{value:.3g}" if row.get("unit") == "distance" else f"{value:.1%}"
