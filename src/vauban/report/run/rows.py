"""Rows of the results table: every cell, the union over budgets of one attack, the worst case over attacks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vauban.report.shared import format as fmt
from vauban.statistics.combine import WorstCase, attack_word, family, group, norm_of, union, worst_case
from vauban.statistics.estimates import Estimate, rate
from vauban.statistics.summarise import Summary, summarise
from vauban.statistics.summary import common_ids, tolerance_of
from vauban.store import CellRows, Run


@dataclass(frozen=True)
class ResultRow:
    """One line: who, under what, and its numbers; `summary` is None for a worst case, which has no single attack."""

    model: str
    defence: str
    data: str
    threat: str
    attack: str
    norm: str
    eps: float | None
    kind: str
    clean_accuracy: Estimate
    robust_accuracy: Estimate
    summary: Summary | None
    gradients: float
    queries: float
    notes: tuple[str, ...] = ()

    @property
    def budget(self) -> str:
        """The limit in words."""
        return fmt.budget(self.norm, self.eps)


def attacked(run: Run) -> list[CellRows]:
    """The cells of attacks that have rows."""
    return [cell for cell in run.cells if not cell.meta.get("clean_only") and len(cell.columns["id"])]


def fresh(cells: Sequence[CellRows]) -> list[CellRows]:
    """The cells that a worst case may count: rows that are stale judge another network, unless nothing newer is there."""
    return [cell for cell in cells if not cell.stale] or list(cells)


def subject(cell: CellRows) -> tuple[str, str, str]:
    """What is judged: model, defence, data."""
    return str(cell.meta.get("model")), str(cell.meta.get("defence") or "none"), str(cell.meta.get("data"))


def undefended_first(key: tuple[str, ...]) -> tuple[Any, ...]:
    """Sort key of (model, defence, ...): by model, the bare network before its defences."""
    return key[0], key[1] != "none", key[1:]


def labels(cells: Sequence[CellRows]) -> dict[str, str]:
    """Short name of each cell's attack by hash: its goal and the parameters are added only where they tell cells apart."""
    names = {cell.meta["hash"]: _name(cell) for cell in cells}
    rivals: dict[Any, list[CellRows]] = defaultdict(list)
    for cell in cells:
        rivals[(*subject(cell), cell.meta.get("threat"), norm_of(cell), cell.meta.get("eps"), _name(cell))].append(cell)
    telling: dict[str, set[str]] = defaultdict(set)
    for rival in rivals.values():
        for key in {key for cell in rival for key in _traits(cell)}:
            if len({str(_traits(cell).get(key)) for cell in rival}) > 1:
                telling[_name(rival[0])].add(key)
    for cell in cells:
        traits = _traits(cell)
        extra = [f"{key}={traits[key]}" for key in sorted(telling[_name(cell)]) if key in traits]
        names[cell.meta["hash"]] = " ".join([_name(cell), *extra])
    return names


def _name(cell: CellRows) -> str:
    goal = str(cell.meta.get("goal") or "untargeted")
    name, given = attack_word(cell)
    # The budget has a column of its own.
    kept = [word for word in given if word.split("=")[0] not in ("eps", "norm")]
    return " ".join([name, *kept]) + ("" if goal.lower().startswith("untargeted") else f" ({goal})")


def _traits(cell: CellRows) -> dict[str, Any]:
    traits = dict(cell.meta.get("params", {}).get("attack") or {}) | {"seed": cell.meta.get("seed")}
    return {k: v for k, v in traits.items() if k not in ("ball", "class", "is") and f"{k}={v}" not in _name(cell)}


def notes(cell: CellRows) -> tuple[str, ...]:
    """What a reader must know about a cell before trusting its row."""
    remarks = []
    if cell.stale:
        remarks.append("stale")
    if not cell.complete:
        remarks.append(f"incomplete, {len(cell.columns['id'])} of {cell.meta.get('n', '?')}")
    return tuple(remarks)


def rows(run: Run, population: str = "correct") -> list[ResultRow]:
    """Every row of a run, by model, defence, data and threat; P_suc and distances are over `population`."""
    cells = attacked(run)
    names, shared = labels(cells), common_ids([cell.columns for cell in cells])
    lines: list[ResultRow] = []
    for key, members in sorted(group(cells, lambda c: (*subject(c), str(c.meta.get("threat")))).items(), key=_first):
        single = [_cell_row(cell, names[cell.meta["hash"]], population, shared) for cell in members]
        lines += sorted(single, key=lambda row: (row.attack, row.norm, row.eps or 0.0))
        for runs in group(members, family).values():
            ids = [np.sort(cell.columns["id"]) for cell in runs]
            if len({cell.meta.get("eps") for cell in runs}) > 1 and all(np.array_equal(i, ids[0]) for i in ids):
                lines.append(_union_row(runs, names[runs[0].meta["hash"]], population, shared))
        for (norm, eps), rivals in group(fresh(members), lambda c: (norm_of(c), c.meta.get("eps"))).items():
            if len(rivals) > 1 and eps is not None:
                lines.append(_worst_row(key, fresh(members), norm, eps))
    return lines


def _first(item: tuple[tuple[str, ...], Any]) -> tuple[Any, ...]:
    return undefended_first(item[0])


def _cell_row(cell: CellRows, name: str, population: str, shared: Any) -> ResultRow:
    numbers = summarise(cell.columns, norm_of(cell), population, shared, _d_upp(cell), tolerance_of(cell.meta))
    return _row(cell, name, cell.meta.get("eps"), "cell", numbers, notes(cell))


def _d_upp(cell: CellRows) -> float:
    """The distance at which P(D) is read off: the conventional budget of the data in the attack's norm."""
    known = cell.meta.get("d_upp")
    return math.nan if known is None else float(known)


def _union_row(cells: list[CellRows], name: str, population: str, shared: Any) -> ResultRow:
    norm = norm_of(cells[0])
    whole = union([cell.columns for cell in cells], norm)
    slack = max(tolerance_of(cell.meta) for cell in cells)
    numbers = summarise(whole, norm, population, shared, _d_upp(cells[0]), slack)
    largest = max((cell.meta.get("eps") or 0.0 for cell in cells), default=None)
    flags = tuple(sorted({flag for cell in cells for flag in notes(cell)}))
    return _row(cells[0], f"{name} (union of {len(cells)} budgets)", largest, "union", numbers, flags)


def _row(
    cell: CellRows, name: str, eps: float | None, kind: str, numbers: Summary, flags: tuple[str, ...]
) -> ResultRow:
    model, defence, data = subject(cell)
    clean, robust = numbers.clean_accuracy, numbers.robust_accuracy
    costs = numbers.gradients, numbers.queries
    threat = str(cell.meta.get("threat"))
    return ResultRow(
        model, defence, data, threat, name, norm_of(cell), eps, kind, clean, robust, numbers, *costs, flags
    )


def _worst_row(key: tuple[str, str, str, str], cells: list[CellRows], norm: str, eps: float) -> ResultRow:
    worst = worst_case(cells, norm, eps)
    clean, robust = rate(worst.clean), rate(worst.robust)
    model, defence, data, threat = key
    return ResultRow(
        model, defence, data, threat, "worst case", norm, eps, "worst", clean, robust, None, *mean_cost(worst)
    )


def mean_cost(worst: WorstCase) -> tuple[float, float]:
    """Gradients and queries per sample of all attacks together."""
    if not len(worst.ids):
        return math.nan, math.nan
    return float(worst.gradients.mean()), float(worst.queries.mean())
