"""Screens of a reproduction: the list of experiments, the progress, ours beside printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vauban.cli.screens.layout import Indented, console, escape, text_table
from vauban.report.shared import format as fmt

if TYPE_CHECKING:
    from vauban.report.reproduction.metric_table import MetricTableLine
    from vauban.statistics.compare import ComparisonRow


def show_experiments() -> None:
    """Print every experiment: id, title, and the minutes of each scale on two cores."""
    from vauban import reproduce as experiments

    table = text_table("id", "title", "scale (minutes)")
    for entry in experiments.registry:
        experiment = experiments.load(entry.name)
        scales = ", ".join(f"{name} ({scale.minutes:g})" for name, scale in experiment.scales.items())
        table.add_row(escape(experiment.id), escape(experiment.title), escape(scales))
    console.print(table)


def reproduce_with_progress(name: str, scale: str, out: Path, **options: Any) -> Path:
    """Run an experiment under a live bar, one for crafting and one for judging; plain lines where there is no terminal.

    Args:
        name: The id of the experiment.
        scale: The name of its scale.
        out: The folder that all experiments share.
        options: Further arguments of `reproduce.reproduce`.

    Returns:
        The folder of the experiment.
    """
    from vauban import reproduce as experiments

    if not console.is_terminal:
        return experiments.reproduce(name, scale, out, progress=_lines(), **options)
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


def _lines() -> Callable[[str, int, int], None]:
    """Progress as lines: one when a kind of work has ended, and one every few seconds on the way."""
    from vauban.evaluate.progress_lines import LinesDue

    due = LinesDue()

    def progress(what: str, done: int, total: int) -> None:
        if due(what, done, total):
            console.print(f"{escape(what)}: {done}/{fmt.plural(total, 'image')}")

    return progress


def show_reproduction(folder: Path) -> int:
    """Print ours beside printed, and the path of the page.

    Args:
        folder: The folder of the experiment.

    Returns:
        The number of batches that failed, and of cells for which a package was missing.
    """
    from vauban.report.reproduction.metric_table import table_by_name
    from vauban.report.reproduction.row_labels import row_label
    from vauban.store import files

    record = files.read_json(folder / "reproduction.json")
    console.print(
        f"\n[bold]{escape(record['id'])}[/], scale {escape(record['scale'])}: {escape(record['title'])}", soft_wrap=True
    )
    console.print(Indented(escape(record["scale_note"])))
    rows = record["rows"] + record["beyond"]
    table = table_by_name(rows, row_label)
    many = [] if table is None else [line for line in table.lines if sum(row is not None for row in line.rows) > 1]
    if table is not None and many:
        console.print(_line_per_cell(many, table.metrics))
    shown = {name for line in many for name in line.names}
    if rest := [row for row in rows if row_label(row) not in shown]:
        console.print(_line_per_number(rest))
    if claims := record.get("claims"):
        console.print(_claims(claims))
    for note in record["notes"]:
        console.print(Indented(escape(note)))
    failures = int(record.get("failures", 0))
    if failures:
        console.print(
            f"\n[red]{fmt.plural(failures, 'batch')} failed[/]; run the same command to try again", soft_wrap=True
        )
    if unplanned := int(record.get("cells_not_planned", 0)):
        console.print(
            f"\n[red]{fmt.plural(unplanned, 'cell')} failed[/]: a package is not installed; install it and run the same "
            "command again",
            soft_wrap=True,
        )
    console.print(f"\nreport: [bold]{escape(str((folder / 'report.html').resolve()))}[/]", soft_wrap=True)
    return failures + unplanned


def _claims(claims: list[Mapping[str, Any]]) -> Table:
    """A line for each claim of the paper: the answer, and what the numbers say where networks stand in for the paper's."""
    table = text_table("claim", "answer", "seen here")
    for claim in claims:
        table.add_row(escape(f"{claim['text']} ({claim['source']})"), escape(claim["answer"]), escape(claim["seen"]))
    return table


def _line_per_number(rows: list[ComparisonRow]) -> Table:
    """A line for each number, with its interval and what is made of the difference."""
    table = text_table("", ">printed", ">ours", ">95 % interval", "reading")
    for row in rows:
        name = row["label"] or ", ".join(text for text in row["key"].values() if text)
        printed, ours, low, high = (
            _number(value, row) for value in (row["printed"], row["ours"], row["low"], row["high"])
        )
        table.add_row(
            escape(name),
            printed,
            ours,
            f"{low} to {high}" if low else "",
            escape(row["reason"]) if row["key"] else "beyond the paper",
        )
    return table


def _line_per_cell(lines: list[MetricTableLine], metrics: tuple[str, ...]) -> Table:
    """A line for each cell with all its metrics, printed and ours or ours alone; the report has intervals and readings."""
    kept = [at for at in range(len(metrics)) if any(line.rows[at] for line in lines)]
    table = text_table("printed, ours", *(f">{metrics[at]}" for at in kept))
    for line in lines:
        rows = [line.rows[at] for at in kept]
        table.add_row(escape(line.names[0]), *("" if row is None else _printed_and_ours(row) for row in rows))
    return table


def _printed_and_ours(row: ComparisonRow) -> str:
    ours = _number(row["ours"], row) or "none"
    return ours if row["printed"] is None else f"{_number(row['printed'], row)}, {ours}"


def _number(value: float | None, row: ComparisonRow) -> str:
    """A number of a row in its unit: a rate in per cent, a distance as it is."""
    if value is None:
        return ""
    return f"{value:.3g}" if row.get("unit") == "distance" else f"{value:.1%}"
