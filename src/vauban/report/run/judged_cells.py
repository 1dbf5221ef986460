"""Cells of a run as the report groups them: by the network they judge, the current ones apart from the stale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vauban.report.run.remarks import remarks
from vauban.report.shared import format as fmt
from vauban.statistics.combine import norm_of
from vauban.store import CellRows, Run


def planned_run(run: Run) -> Run:
    """The run without the cells of earlier plans in its directory."""
    planned = set(run.study.get("cells", []))
    return replace(run, cells=[cell for cell in run.cells if cell.meta["hash"] in planned])


def attacked_cells(run: Run) -> list[CellRows]:
    """The cells of attacks that have rows."""
    return [cell for cell in run.cells if not cell.meta.get("clean_only") and len(cell.columns["id"])]


def current_cells(cells: Sequence[CellRows]) -> list[CellRows]:
    """The cells that a worst case may count.

    Stale rows judge another network and are left out, unless nothing newer is there. Rows of an earlier version count
    like any other until the last plan supersedes them.
    """
    return [cell for cell in cells if not cell.stale] or list(cells)


def budgets(cells: list[CellRows]) -> dict[str, float]:
    """The budget of each norm that most cells share, the largest of equally common ones."""
    seen = Counter((norm_of(cell), float(cell.meta["eps"])) for cell in cells if cell.meta.get("eps") is not None)
    chosen: dict[str, float] = {}
    for (norm, eps), _ in sorted(seen.items(), key=lambda item: (item[1], item[0][1])):
        chosen[norm] = eps
    return chosen


def judged_network(cell: CellRows) -> tuple[str, str, str]:
    """The network that a cell judges: model, defence, data."""
    return str(cell.meta.get("model")), str(cell.meta.get("defence") or "none"), str(cell.meta.get("data"))


def attacked_how(cell: CellRows) -> str:
    """What an attack was told beside its own word: goal, rounding, query budget and precision; equal texts compare."""
    levels, budget = cell.meta.get("levels"), query_budget(cell)
    told = [str(cell.meta.get("goal")), "not rounded" if levels is None else f"{levels} pixel levels"]
    if budget is not None:
        told.append(f"at most {fmt.plural(budget, 'query', f'{budget:,}')}")
    return ", ".join([*told, *([str(cell.meta["precision"])] if cell.meta.get("precision") else [])])


def query_budget(cell: CellRows) -> int | None:
    """The forward passes that an attack had for each image; None for no limit."""
    budget: int | None = ((cell.meta.get("params") or {}).get("threat") or {}).get("budget")
    return budget


def every_budget(cells: Sequence[CellRows]) -> list[tuple[str, float]]:
    """Every norm and radius at which cells attack, those of fewer cells than `budgets` names included."""
    return sorted({(norm_of(cell), float(cell.meta["eps"])) for cell in cells if cell.meta.get("eps") is not None})


def undefended_first(key: tuple[str, ...]) -> tuple[Any, ...]:
    """Sort key of (model, defence, ...): by model, the bare network before its defences."""
    return key[0], key[1] != "none", key[1:]


def cell_notes(cell: CellRows) -> tuple[str, ...]:
    """Notes that a reader must know before trusting the row of a cell: stale, incomplete, and the `remarks`."""
    notes = []
    if cell.stale:
        notes.append("stale")
    if not cell.complete:
        notes.append(f"incomplete, {len(cell.columns['id'])} of {cell.meta.get('n', '?')}")
    if cell.meta.get("precision"):
        notes.append(f"attacked in {cell.meta['precision']}, judged in float32")
    if cell.earlier_version:
        notes.append(f"made by vauban {cell.earlier_version}")
    return (*notes, *remarks([cell]))
