"""Screens of a study: its plan, its progress, its verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from vauban.cli.screens.layout import Indented, cell_heading, console, duration, escape, text_table
from vauban.cli.screens.status import model_defence_threat, show_missing
from vauban.core.errors import plain
from vauban.report.shared import format as fmt

if TYPE_CHECKING:
    from vauban.evaluate.cell import Cell
    from vauban.evaluate.study import Study
    from vauban.jobs.executors import Executor
    from vauban.jobs.progress import Progress as JobProgress
    from vauban.jobs.runner import Outcome
    from vauban.jobs.shard import Shard
    from vauban.store import Run


def show_plan(study: Study) -> None:
    """Print the cells of a study with passes per sample and time, all upper bounds."""
    from vauban.evaluate.estimate import estimate, planted_estimate

    estimates = estimate(study.cells)
    for key, group in groupby(estimates, key=lambda e: (e.cell.model.name, e.cell.defence.name, e.cell.threat_name)):
        console.print(f"\n{cell_heading(*key)}", soft_wrap=True)
        table = text_table("attack", ">samples", ">forward", ">backward", ">time at most")
        for e in group:
            numbers = ["?" if n is None else f"{n:,}" for n in (e.forwards, e.backwards)]
            seconds = "?" if e.seconds is None else duration(e.seconds)
            table.add_row(escape(e.cell.attack.name), str(len(e.cell.data)), *numbers, seconds)
        console.print(table)
    known = sum(e.seconds for e in estimates if e.seconds is not None)
    unknown = sum(e.seconds is None for e in estimates)
    rest = f" and {unknown} of unknown cost" if unknown else ""
    console.print(
        f"{fmt.plural(len(estimates), 'cell')}, at most {duration(known)}{rest}; nothing was run "
        "(passes are per sample, upper bounds)"
    )
    planted = planted_estimate(estimates, study.planted)
    if planted is not None:
        console.print(
            f"and {fmt.plural(planted.tests, 'planted test')}, where something is left standing: at most "
            f"{planted.images} images x {planted.forwards:,} forwards each, {duration(planted.seconds)}, and the attack "
            "once more"
        )
    show_queries(study)


def show_queries(study: Study) -> None:
    """Print how many images a run sends to services at most; nothing where none is asked."""
    asked = study.expected_queries
    if asked is not None:
        console.print(asked.sentence, soft_wrap=True, highlight=False)


def run_with_progress(
    study: Study, executor: Executor | None = None, shard: Shard | None = None, silent: bool = False
) -> Sequence[Outcome]:
    """Run a study under a live bar, one line per cell; in plain lines where the output is no terminal.

    Args:
        study: The study.
        executor: Where batches are computed; None: in this process.
        shard: The batches that are; None: all.
        silent: Show nothing.

    Returns:
        The outcome of each cell.
    """
    if silent:
        return study.run(executor=executor, shard=shard, progress=False)
    if not console.is_terminal:
        from vauban.evaluate.progress_lines import progress_lines

        lines = progress_lines(_plain_line, _short_label(study.cells))
        return study.run(lines, executor=executor, shard=shard)
    fields = (
        TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    from vauban.evaluate.job import CellJob
    from vauban.evaluate.progress_lines import successes

    label = _short_label(study.cells)
    tasks: dict[Any, Any] = {}
    fooled: dict[Any, list[float]] = {}
    with Progress(*fields, console=console, expand=True) as bar:

        def tell(progress: JobProgress) -> None:
            if not isinstance(progress.work, CellJob):  # an audit, or a planted test
                return
            cell, rows = progress.work.cell, progress.columns
            task = id(cell.attack), id(cell.defended), cell.threat_name
            if task not in tasks:
                tasks[task] = bar.add_task(plain(label(cell)), total=progress.total, note="")
                fooled[task] = []
            if rows is not None:
                fooled[task] += successes(rows)
            seen = fooled[task]
            note = f"fooled {sum(seen) / len(seen):.0%}" if seen else "stored"
            note = "failed" if progress.failures else note
            bar.update(tasks[task], completed=progress.done, note=note)

        return study.run(tell, executor=executor, shard=shard)


def _plain_line(line: str) -> None:
    console.print(escape(line), soft_wrap=True, highlight=False)


def _short_label(cells: Sequence[Cell]) -> Callable[[Cell], str]:
    """A cell's words without those that all cells share; the attack always."""

    def names(cell: Cell) -> tuple[str, str, str]:
        return cell.model.name, cell.defence.name, cell.threat_name

    varies = [len(set(column)) > 1 for column in zip(*map(names, cells), strict=True)]
    return lambda cell: " | ".join([*compress(names(cell), varies), cell.attack.name])


def show_outcomes(study: Study, page: Path) -> Run:
    """Print the verdict and where the report is.

    Args:
        study: The study that ran.
        page: The path of its page.

    Returns:
        The run as stored; rows of earlier plans in its directory are the report's, not this run's.
    """
    from vauban.report.run import headlines as verdict
    from vauban.report.run.judged_cells import planned_run
    from vauban.store import query

    run = planned_run(query.load(study.store.path, pictures=False))
    for headline in verdict.headlines(run):
        behind = "undefended" if headline.defence == "none" else f"behind {escape(headline.defence)}"
        console.print(f"\n[bold]{escape(headline.model)}[/], {behind}: clean accuracy {headline.clean.value:.1%}")
        if headline.plain:
            console.print(Indented(escape(headline.plain)))
        sentences = [bound.sentence for bound in headline.bounds] + [part.sentence for part in headline.minimal]
        for sentence in [*sentences, *headline.stages, *headline.remarks]:
            console.print(Indented(escape(sentence)))
    _show_findings(run)
    failures = sum(len(cell.failures) for cell in run.cells)
    show_missing(run)
    if failures:
        console.print(
            f"\n[red]{fmt.plural(failures, 'batch')} failed[/]; vauban status {escape(str(study.store.path))} "
            "says why; run the same command to try again",
            soft_wrap=True,
        )
    console.print(f"\nreport: [bold]{escape(str(page.resolve()))}[/]", soft_wrap=True)
    return run


def _show_findings(run: Run) -> None:
    """Each finding once, the gravest first, with the cells or the pairs of cells that it is about.

    The order is that of the words, since the order of the cells changes with every line of code.
    """
    about: dict[tuple[str, str, str], list[str]] = {}
    places = {str(cell.meta["hash"]): " | ".join(model_defence_threat(cell)) for cell in run.cells}
    for cell in run.cells:
        for f in cell.findings:
            about.setdefault((f["severity"], f["code"], f["message"]), []).append(places[cell.meta["hash"]])
    for f in run.findings:
        where = str(f.get("about", ""))
        about.setdefault((f["severity"], f["code"], f["message"]), []).append(places.get(where, where))
    grave = {key: sorted(set(cells)) for key, cells in about.items() if key[0] != "info"}
    if grave:
        console.print()
    for (severity, code, message), cells in sorted(grave.items(), key=lambda item: (item[0][0] != "invalid", item[0])):
        colour = "red" if severity == "invalid" else "yellow"
        named = f"{cells[0]}{f' and {len(cells) - 1} more' if len(cells) > 1 else ''}: " if cells[0] else ""
        console.print(Indented(f"[{colour}]{severity}[/] {escape(code)}: {escape(named + message)}"))
