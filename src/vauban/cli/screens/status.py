"""What a run directory holds, one line per cell."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.markup import escape
from rich.table import Table

from vauban.cli.screens.layout import console, plural, subject

if TYPE_CHECKING:
    from vauban.store import CellRows


def show_status(directory: Path) -> None:
    """One line per cell: complete, partial, stale, failed."""
    from vauban.store import query

    run = query.load(directory)
    planned = set(run.study.get("cells", []))
    order = {key: i for i, key in enumerate(run.study.get("cells", []))}
    cells = sorted(run.cells, key=lambda c: (*_undefended_first(c), order.get(c.meta["hash"], len(order))))
    for subjects, group in groupby(cells, key=words):
        console.print(f"\n{subject(*subjects)}", soft_wrap=True)
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
    console.print(f"\n{plural(len(cells), 'cell')}: {told}")


def words(cell: CellRows) -> tuple[str, str, str]:
    """Model, defence and threat of a cell."""
    return str(cell.meta["model"]), str(cell.meta["defence"]), str(cell.meta["threat"])


def _undefended_first(cell: CellRows) -> tuple[Any, ...]:
    model, defence, threat = words(cell)
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
        return f"failed: {plural(len(cell.failures), 'batch')}, the last with {reason}"
    state = "complete" if cell.complete else "partial"
    return state if not planned or cell.meta["hash"] in planned else f"{state}; not in the last plan"
