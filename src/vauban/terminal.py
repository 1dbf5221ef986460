"""What the command line shows: plans, progress, outcomes, status, lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import compress, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from vauban.core.errors import UnknownName

if TYPE_CHECKING:
    from vauban.engine.fit import Epoch
    from vauban.evaluate.cell import Cell
    from vauban.evaluate.runner import Outcome
    from vauban.evaluate.study import Study
    from vauban.store import CellRows, Run

console = Console()


def show_plan(study: Study) -> None:
    """The cells of a study with passes per sample and time, all upper bounds."""
    from vauban.evaluate.estimate import estimate

    found = estimate(study.cells)
    for words, group in groupby(found, key=lambda e: (e.cell.model.name, e.cell.defence.name, e.cell.threat_name)):
        console.print(f"\n{_subject(*words)}", soft_wrap=True)
        table = _table("attack", ">samples", ">forward", ">backward", ">time at most")
        for e in group:
            numbers = ["?" if n is None else f"{n:,}" for n in (e.forwards, e.backwards)]
            seconds = "?" if e.seconds is None else _duration(e.seconds)
            table.add_row(escape(e.cell.attack.name), str(len(e.cell.data)), *numbers, seconds)
        console.print(table)
    known = sum(e.seconds for e in found if e.seconds is not None)
    unknown = sum(e.seconds is None for e in found)
    rest = f" and {unknown} of unknown cost" if unknown else ""
    console.print(f"{_plural(len(found), 'cell')}, at most {_duration(known)}{rest}; nothing was run "
                  "(passes are per sample, upper bounds)")  # fmt: skip


def run_with_progress(study: Study) -> list[Outcome]:
    """Run a study under a live bar, one line per cell."""
    fields = (
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=12), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )  # fmt: skip
    told = _telling(study.cells)
    tasks: dict[Any, Any] = {}
    fooled: dict[Any, list[float]] = {}
    with Progress(*fields, console=console, expand=True) as bar:

        def progress(cell: Cell, done: int, total: int, rows: dict[str, Any] | None) -> None:
            task = id(cell.attack), id(cell.defended), cell.threat_name
            if task not in tasks:
                tasks[task] = bar.add_task(escape(told(cell)), total=total, note="")
                fooled[task] = []
            if rows is not None:
                fooled[task] += [float(v) for v in rows["success"]]
            seen = fooled[task]
            note = f"fooled {sum(seen) / len(seen):.0%}" if seen else "stored"
            bar.update(tasks[task], completed=done, note=note)

        return study.run(progress)


def _telling(cells: Sequence[Cell]) -> Callable[[Cell], str]:
    """A cell's words without those that all cells share; the attack always."""

    def words(cell: Cell) -> tuple[str, str, str]:
        return cell.model.name, cell.defence.name, cell.threat_name

    varies = [len(set(column)) > 1 for column in zip(*map(words, cells), strict=True)]
    return lambda cell: " | ".join([*compress(words(cell), varies), cell.attack.name])


def show_outcomes(study: Study, page: Path) -> float | None:
    """Print the verdict and where the report is; returns the lowest robust accuracy at a budget, if any."""
    from vauban.report import verdict
    from vauban.store import query

    run = query.load(study.store.path)
    planned = set(
        run.study.get("cells", [])
    )  # rows of earlier plans in this directory are the report's, not this run's
    run = replace(run, cells=[cell for cell in run.cells if cell.meta["hash"] in planned])
    bounds: list[float] = []
    for headline in verdict.headlines(run):
        behind = "undefended" if headline.defence == "none" else f"behind {escape(headline.defence)}"
        console.print(f"\n[bold]{escape(headline.model)}[/], {behind}: clean accuracy {headline.clean.value:.1%}")
        for sentence in [b.sentence for b in headline.bounds] + [m.sentence for m in headline.minimal]:
            console.print(_indented(escape(sentence)))
        bounds += [b.robust.value for b in headline.bounds]
    _show_findings(run)
    failures = sum(len(cell.failures) for cell in run.cells)
    if failures:
        console.print(f"\n[red]{_plural(failures, 'batch')} failed[/]; vauban status {escape(str(study.store.path))} "
                      "says why; run the same command to try again", soft_wrap=True)  # fmt: skip
    console.print(f"\nreport: [bold]{escape(str(page.resolve()))}[/]", soft_wrap=True)
    return min(bounds, default=None)


def _show_findings(run: Run) -> None:
    """Each finding once, with the cells or the pairs of cells that it is about."""
    about: dict[tuple[str, str, str], list[str]] = {}
    for cell in run.cells:
        for f in cell.findings:
            about.setdefault((f["severity"], f["code"], f["message"]), []).append(" | ".join(_words(cell)))
    for f in run.findings:
        about.setdefault((f["severity"], f["code"], f["message"]), []).append(str(f.get("about", "")))
    told = {key: list(dict.fromkeys(where)) for key, where in about.items() if key[0] != "info"}
    if told:
        console.print()
    for (severity, code, message), where in told.items():
        colour = "red" if severity == "invalid" else "yellow"
        places = f"{where[0]}{f' and {len(where) - 1} more' if len(where) > 1 else ''}: " if where[0] else ""
        console.print(_indented(f"[{colour}]{severity}[/] {escape(code)}: {escape(places + message)}"))


def _indented(text: str) -> Padding:
    return Padding(text, (0, 0, 0, 2), expand=False)


def show_status(directory: Path) -> None:
    """One line per cell: complete, partial, stale, failed."""
    from vauban.store import query

    run = query.load(directory)
    planned = set(run.study.get("cells", []))
    order = {key: i for i, key in enumerate(run.study.get("cells", []))}
    cells = sorted(run.cells, key=lambda c: (*_undefended_first(c), order.get(c.meta["hash"], len(order))))
    for words, group in groupby(cells, key=_words):
        console.print(f"\n{_subject(*words)}", soft_wrap=True)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        justified: tuple[Literal["left", "right"], ...] = ("left", "left", "right", "left")
        for justify in justified:
            table.add_column(justify=justify, overflow="fold")
        for cell in group:
            rows = f"{len(cell.columns['id'])}/{cell.meta['n']}"
            state = escape(_state(cell, planned))
            table.add_row("  " + str(cell.meta["hash"])[:8], escape(str(cell.meta["attack"])), rows, state)
        console.print(table)
    counts = Counter(_state(cell, planned).split(":")[0].split(";")[0] for cell in cells)
    told = ", ".join(f"{n} {state}" for state, n in counts.items()) or "nothing has run"
    console.print(f"\n{_plural(len(cells), 'cell')}: {told}")


def _words(cell: CellRows) -> tuple[str, str, str]:
    return str(cell.meta["model"]), str(cell.meta["defence"]), str(cell.meta["threat"])


def _undefended_first(cell: CellRows) -> tuple[Any, ...]:
    model, defence, threat = _words(cell)
    return model, defence != "none", defence, threat


def _state(cell: CellRows, planned: set[str]) -> str:
    """One of complete, partial, failed, stale, with the reason."""
    if cell.changed:
        names = sorted({Path(path).name for path in cell.changed})
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"stale: {', '.join(names[:3])}{more} changed since"
    if cell.superseded:
        return "stale: the last plan runs another network or code under this name"
    if cell.failures:
        reason = next(iter(str(cell.failures[-1]["error"]).splitlines()), "")
        return f"failed: {_plural(len(cell.failures), 'batch')}, the last with {reason}"
    state = "complete" if cell.complete else "partial"
    return state if not planned or cell.meta["hash"] in planned else f"{state}; not in the last plan"


def show_experiments() -> None:
    """Every experiment: id, title, and the minutes of each scale on two cores."""
    from vauban import experiments

    table = _table("id", "title", "scale (minutes)")
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
    console.print(_indented(escape(told["scale_note"])))
    table = _table("", ">printed", ">ours", ">95 % interval", "reading")
    for row in told["rows"] + told["beyond"]:
        name = row["label"] or ", ".join(text for text in row["key"].values() if text)
        ours = "" if row["ours"] is None else f"{row['ours']:.1%}"
        interval = "" if row["low"] is None else f"{row['low']:.1%} to {row['high']:.1%}"
        table.add_row(escape(name), "" if row["printed"] is None else f"{row['printed']:.1%}", ours, interval,
                      escape(row["reason"]) if row["key"] else "beyond the paper")  # fmt: skip
    console.print(table)
    for note in told["notes"]:
        console.print(_indented(escape(note)))
    console.print(f"\nreport: [bold]{escape(str((folder / 'report.html').resolve()))}[/]", soft_wrap=True)


def show_epoch(epoch: Epoch) -> None:
    """A line of training progress."""
    held = "" if epoch.validation is None else f", validation {epoch.validation:.4f}"
    console.print(
        f"epoch {epoch.number}: loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}{held} ({epoch.seconds:.0f} s)"
    )


def entries(kind: str) -> list[dict[str, Any]]:
    """What a registry holds, as plain data."""
    from vauban import attacks, data, defences, experiments, metrics, models, threats
    from vauban.core.losses import LOSSES

    if kind == "losses":
        return [{"name": n, "summary": (f.__doc__ or "").split("\n")[0]} for n, f in LOSSES.items()]
    registries: dict[str, Any] = {
        "attacks": attacks.registry, "defences": defences.registry, "models": models.registry,
        "datasets": data.registry, "threats": threats.registry, "metrics": metrics.registry,
        "experiments": experiments.registry,
    }  # fmt: skip
    if kind not in registries:
        raise UnknownName("list", kind, [*registries, "losses"])
    return [{"name": e.name, "summary": e.summary, **e.facts} for e in registries[kind]]


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return table


def _subject(model: str, defence: str, threat: str) -> str:
    behind = "undefended" if defence == "none" else f"behind {escape(defence)}"
    return f"[bold]{escape(model)}[/], {behind}, {escape(threat)}"


def _plural(n: int, word: str) -> str:
    many = f"{word}es" if word.endswith("ch") else f"{word}s"
    return f"{n} {word if n == 1 else many}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
