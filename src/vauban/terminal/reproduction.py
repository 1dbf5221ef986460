"""Experiments on the screen: the list, the progress, ours beside printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vauban.terminal.layout import console, indented, listing


def show_experiments() -> None:
    """Every experiment: id, title, and the minutes of each scale on two cores."""
    from vauban import experiments

    table = listing("id", "title", "scale (minutes)")
    for entry in experiments.registry:
        found = experiments.load(entry.name)
        scales = ", ".join(f"{name} ({scale.minutes:g})" for name, scale in found.scales.items())
        table.add_row(escape(found.id), escape(found.title), escape(scales))
    console.print(table)


def reproduce_with_progress(name: str, scale: str, out: Path, **options: Any) -> Path:
    """Run an experiment under a live bar, one line for crafting and one for judging; returns its folder."""
    from vauban import experiments

    fields = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("images"),
              TimeRemainingColumn(compact=True, elapsed_when_finished=True))  # fmt: skip
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


def show_reproduction(folder: Path) -> None:
    """Ours beside printed, and the path of the page."""
    from vauban.store import files

    told = files.read_json(folder / "reproduction.json")
    console.print(f"\n[bold]{escape(told['id'])}[/], scale {escape(told['scale'])}: {escape(told['title'])}",
                  soft_wrap=True)  # fmt: skip
    console.print(indented(escape(told["scale_note"])))
    table = listing("", ">printed", ">ours", ">95 % interval", "reading")
    for row in told["rows"] + told["beyond"]:
        name = row["label"] or ", ".join(text for text in row["key"].values() if text)
        printed, ours, low, high = (_measured(row[field], row) for field in ("printed", "ours", "low", "high"))
        table.add_row(escape(name), printed, ours, f"{low} to {high}" if low else "",
                      escape(row["reason"]) if row["key"] else "beyond the paper")  # fmt: skip
    console.print(table)
    for note in told["notes"]:
        console.print(indented(escape(note)))
    console.print(f"\nreport: [bold]{escape(str((folder / 'report.html').resolve()))}[/]", soft_wrap=True)


def _measured(value: float | None, row: dict[str, Any]) -> str:
    """A number of a row in its unit: a rate in per cent, a distance as it is."""
    if value is None:
        return ""
    return f"{value:.3g}" if row.get("unit") == "distance" else f"{value:.1%}"
