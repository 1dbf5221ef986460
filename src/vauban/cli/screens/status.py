"""Status of a run directory, one line per cell, certificate and measurement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.table import Table

from vauban.cli.screens.layout import cell_heading, console, escape
from vauban.cli.screens.rows import failed, show_rows, stale, state_of
from vauban.report.shared import format as fmt

if TYPE_CHECKING:
    from vauban.store import CellRows, Run


def show_status(directory: Path) -> None:
    """Print one line per cell, certificate and measurement: complete, partial, stale or failed.

    The version of vauban is named where it is an earlier one.
    """
    from vauban.report.run.certified import called, in_order_of_words
    from vauban.report.run.measured import in_order, measured_words
    from vauban.store import query

    run = query.load(directory, pictures=False, columns=["id"])
    planned = set(run.study.get("cells", []))
    order = {key: i for i, key in enumerate(run.study.get("cells", []))}
    cells = sorted(run.cells, key=lambda c: (*_undefended_first(c), order.get(c.meta["hash"], len(order))))
    for key, group in groupby(cells, key=model_defence_threat):
        console.print(f"\n{cell_heading(*key)}", soft_wrap=True)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        justified: tuple[Literal["left", "right"], ...] = ("left", "left", "right", "left")
        for justify in justified:
            table.add_column(justify=justify, overflow="fold")
        for cell in group:
            rows = f"{len(cell.columns['id'])}/{cell.meta['n']}"
            state = escape(_state(cell, planned))
            table.add_row("  " + str(cell.meta["hash"])[:8], escape(str(cell.meta["attack"])), rows, state)
        console.print(table)
    show_missing(run)
    show_rows(in_order_of_words(run.certificates), called)
    show_rows(in_order(run.measurements), measured_words)
    earlier = Counter(cell.earlier_version for cell in cells if cell.earlier_version)
    versions = "".join(f"; {n} made by vauban {version}" for version, n in earlier.items())
    states = [_state(cell, planned) for cell in cells]
    if states or not (run.certificates or run.measurements):
        console.print(f"\n{fmt.plural(len(cells), 'cell')}: {_counted(states)}{versions}")
    for word, jobs in (("certificate", run.certificates), ("measurement", run.measurements)):
        if jobs:
            console.print(f"\n{fmt.plural(len(jobs), word)}: {_counted(map(state_of, jobs))}")


def _counted(states: Iterable[str]) -> str:
    counts = Counter(state.split(":")[0].split(";")[0] for state in states)
    return ", ".join(f"{n} {state}" for state, n in counts.items()) or "nothing has run"


def show_missing(run: Run) -> None:
    """Print the words whose cells could not be planned, as a package is not installed."""
    for word, reason in run.study.get("missing", {}).items():
        console.print(f"\n[red]not run[/] {escape(str(word))}: {escape(str(reason))}", soft_wrap=True)


def model_defence_threat(cell: CellRows) -> tuple[str, str, str]:
    """Model, defence and threat of a cell."""
    return str(cell.meta["model"]), str(cell.meta["defence"]), str(cell.meta["threat"])


def _undefended_first(cell: CellRows) -> tuple[Any, ...]:
    model, defence, threat = model_defence_threat(cell)
    return model, defence != "none", defence, threat


def _state(cell: CellRows, planned: set[str]) -> str:
    """One of complete, partial, failed, stale, with the reason; an earlier version of vauban is named."""
    if cell.changed:
        return stale(cell.changed)
    if cell.superseded:
        return "stale: the last plan runs another network or code under this name"
    if cell.failures:
        return failed(cell.failures)
    state = "complete" if cell.complete else "partial"
    if cell.earlier_version:
        state = f"{state}; made by vauban {cell.earlier_version}"
    return state if not planned or cell.meta["hash"] in planned else f"{state}; not in the last plan"
