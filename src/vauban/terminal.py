"""What the command line shows: plans, progress, outcomes, status, lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from vauban.core.errors import UnknownName

if TYPE_CHECKING:
    from vauban.engine.fit import Epoch
    from vauban.evaluate.plan import Cell
    from vauban.evaluate.runner import Outcome
    from vauban.evaluate.study import Study

console = Console()


def show_plan(study: Study) -> None:
    """The cells of a study with passes per sample and time, all upper bounds."""
    from vauban.evaluate.estimate import estimate

    table = _table("model", "defence", "threat", "attack", ">samples", ">forward", ">backward", ">time at most")
    found = estimate(study.cells)
    for e in found:
        c = e.cell
        numbers = ["?" if n is None else str(n) for n in (e.forwards, e.backwards)]
        seconds = "?" if e.seconds is None else _duration(e.seconds)
        table.add_row(*map(escape, (c.model.name, c.defence.name, c.threat_name, c.attack.name)),
                      str(len(c.data)), *numbers, seconds)  # fmt: skip
    console.print(table)
    known = sum(e.seconds for e in found if e.seconds is not None)
    unknown = sum(e.seconds is None for e in found)
    rest = f" and {unknown} of unknown cost" if unknown else ""
    console.print(f"{len(found)} cells, at most {_duration(known)}{rest}; nothing was run")


def run_with_progress(study: Study) -> list[Outcome]:
    """Run a study under a live bar, one line per cell."""
    fields = (
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=12), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )  # fmt: skip
    tasks: dict[Any, Any] = {}
    fooled: dict[Any, list[float]] = {}
    with Progress(*fields, console=console, expand=True) as bar:

        def progress(cell: Cell, done: int, total: int, rows: dict[str, Any] | None) -> None:
            task = id(cell.attack), id(cell.defended), cell.threat_name
            if task not in tasks:
                tasks[task] = bar.add_task(escape(cell.label), total=total, note="")
                fooled[task] = []
            if rows is not None:
                fooled[task] += [float(v) for v in rows["success"]]
            seen = fooled[task]
            note = f"fooled {sum(seen) / len(seen):.0%}" if seen else "stored"
            bar.update(tasks[task], completed=done, note=note)

        return study.run(progress)


def show_outcomes(study: Study, page: Path) -> float | None:
    """Print the verdict and where the report is; returns the lowest robust accuracy at a budget, if any."""
    from vauban.report import verdict
    from vauban.store import query

    run = query.load(study.store.path)
    bounds: list[float] = []
    for headline in verdict.headlines(run):
        console.print(f"\n[bold]{escape(headline.model)}[/], defence {escape(headline.defence)}: "
                      f"clean accuracy {headline.clean.value:.1%}")  # fmt: skip
        for sentence in [b.sentence for b in headline.bounds] + [m.sentence for m in headline.minimal]:
            console.print(f"  {escape(sentence)}")
        bounds += [b.robust.value for b in headline.bounds]
    findings = {f["message"]: f for found in [*(c.findings for c in run.cells), run.findings] for f in found}
    for finding in findings.values():
        if finding["severity"] != "info":
            message = escape(f"{finding['code']}: {finding['message']}")
            console.print(f"  [yellow]{finding['severity']}[/] {message}")
    failures = sum(len(cell.failures) for cell in run.cells)
    if failures:
        console.print(f"[red]{failures} batches failed[/]; see vauban status {study.store.path}; run again to retry")
    console.print(f"\nreport: [bold]{escape(str(page.resolve()))}[/]", soft_wrap=True)
    return min(bounds, default=None)


def show_status(directory: Path) -> None:
    """One line per cell: complete, partial, stale, failed."""
    from vauban.store import query

    run = query.load(directory)
    planned = set(run.study.get("cells", []))
    table = _table("cell", "model", "defence", "threat", "attack", ">rows", "state")
    for cell in run.cells:
        meta, rows = cell.meta, len(cell.columns["id"])
        state = "complete" if cell.complete else "partial"
        if cell.failures:
            state = f"{len(cell.failures)} failed: {cell.failures[-1]['error']}"
        if cell.stale:
            state += f"; stale, changed since: {', '.join(Path(p).name for p in cell.changed[:3])}"
        elif planned and meta["hash"] not in planned:
            state += "; not in the last plan"
        names = (meta[k] for k in ("hash", "model", "defence", "threat", "attack"))
        table.add_row(*(escape(str(n)) for n in names), f"{rows}/{meta['n']}", escape(state))
    console.print(table)


def show_epoch(epoch: Epoch) -> None:
    """A line of training progress."""
    held = "" if epoch.validation is None else f", validation {epoch.validation:.4f}"
    console.print(
        f"epoch {epoch.number}: loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}{held} ({epoch.seconds:.0f} s)"
    )


def entries(kind: str) -> list[dict[str, Any]]:
    """What a registry holds, as plain data."""
    from vauban import attacks, data, defences, metrics, models, threats
    from vauban.core.losses import LOSSES

    if kind == "losses":
        return [{"name": n, "summary": (f.__doc__ or "").split("\n")[0]} for n, f in LOSSES.items()]
    registries: dict[str, Any] = {
        "attacks": attacks.registry, "defences": defences.registry, "models": models.registry,
        "datasets": data.registry, "threats": threats.registry, "metrics": metrics.registry,
    }  # fmt: skip
    if kind not in registries:
        raise UnknownName("list", kind, [*registries, "losses"])
    return [{"name": e.name, "summary": e.summary, **e.facts} for e in registries[kind]]


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return table


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
