"""Data of the interactive curves, small enough to embed: step curves and points, no images."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from vauban.report.run.attack_labels import attack_labels
from vauban.report.run.doubts import cell_doubts
from vauban.report.run.judged_cells import attacked_cells, current_cells, judged_network, undefended_first
from vauban.report.shared import format as fmt
from vauban.statistics.combine import group, norm_of, worst_curve
from vauban.statistics.estimates import corners, median, operating_characteristic
from vauban.statistics.intervals import Array
from vauban.statistics.summary import distortion, population, robust_curve, select, tolerance_of
from vauban.store import CellRows, Run

_STEPS = 120  # as many as a screen can show


def chart_data(run: Run) -> dict[str, Any]:
    """Data of every curve of a run.

    Returns:
        `attacks` and `threats`: the legend of colours and of line styles; `norms`: those that the page can switch
        between; `panels`: one per norm, kind and judged network. Kinds are `characteristic` (P(D) over the correct
        images), `budget` (robust accuracy over all images, with the worst case) and `cost` (gradients per image against
        the median distance; null where more than half failed).
    """
    cells = attacked_cells(run)
    names = attack_labels(cells)
    # White-box first: the usual threat has the plain line.
    threats = sorted({str(cell.meta.get("threat")) for cell in cells}, key=lambda name: (name != "white-box", name))
    legend = sorted(set(names.values())), threats
    doubted = {cell.meta["hash"] for cell in cells if cell_doubts(cell, run.findings)}
    panels: list[dict[str, Any]] = []
    # First the norm that most attacks minimise: at a fixed budget a curve is a step.
    free = [norm_of(cell) for cell in cells if cell.meta.get("eps") is None]
    every = [norm_of(cell) for cell in cells]
    norms = sorted(set(every), key=lambda norm: (-free.count(norm), -every.count(norm), norm))
    for norm in norms:
        groups = group([cell for cell in cells if norm_of(cell) == norm], judged_network)
        for key in sorted(groups, key=undefended_first):
            panels += _panels(key, groups[key], norm, names, legend, doubted)
    shown = [{"id": norm, "name": fmt.norm_name(norm)} for norm in norms]
    return {"attacks": legend[0], "threats": threats, "norms": shown, "panels": panels}


def to_json(value: Any) -> str:
    """JSON that is safe inside a script element: no `<` is left, so nothing can close it or open a comment."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _panels(
    key: tuple[str, str, str],
    cells: Sequence[CellRows],
    norm: str,
    names: dict[str, str],
    legend: tuple[list[str], list[str]],
    doubted: set[str],
) -> list[dict[str, Any]]:
    model, defence, data = key
    threats = {str(cell.meta.get("threat")) for cell in cells}
    base = {"norm": norm, "unit": fmt.norm_name(norm), "model": model, "defence": defence, "data": data}
    shown: dict[str, list[dict[str, Any]]] = {"characteristic": [], "budget": [], "cost": []}
    for cell in cells:
        name = names[cell.meta["hash"]]
        label = _label(cell, name, len(threats) > 1)
        threat = str(cell.meta.get("threat"))
        tag: dict[str, Any] = {"attack": legend[0].index(name), "threat": legend[1].index(threat), "label": label}
        if cell.meta["hash"] in doubted:
            tag |= {"label": f"{label} (invalid)", "doubted": True}
        distance = distortion(select(cell.columns, population(cell.columns, "correct")), norm)
        at, slack = corners(distance, _STEPS), tolerance_of(cell.meta)
        shown["characteristic"].append(tag | _curve(at, operating_characteristic(distance, at, slack)))
        at = corners(distortion(cell.columns, norm), _STEPS)
        shown["budget"].append(tag | _curve(at, robust_curve(cell.columns, norm, at, slack)))
        shown["cost"].append(tag | _point(cell, distance))
    if len(cells := current_cells(cells)) > 1:
        at = corners(np.concatenate([distortion(cell.columns, norm) for cell in cells]), _STEPS)
        shown["budget"].append(
            {"attack": -1, "threat": -1, "label": "worst case"} | _curve(at, worst_curve(cells, norm, at))
        )
    return [base | {"kind": kind, "series": series} for kind, series in shown.items()]


def _label(cell: CellRows, name: str, with_threat: bool) -> str:
    eps = cell.meta.get("eps")
    at = "" if eps is None else f" {fmt.distance(float(eps), norm_of(cell))}"
    return f"{name}{at}" + (f" · {cell.meta.get('threat')}" if with_threat else "")


def _curve(x: Array, y: Array) -> dict[str, Any]:
    return {"x": [_number(v) for v in x], "y": [_number(v) for v in y]}


def _point(cell: CellRows, distance: Array) -> dict[str, Any]:
    gradients, queries = cell.columns["backwards"], cell.columns["forwards"]
    return {"x": _number(gradients.mean()), "y": _number(median(distance).value), "queries": _number(queries.mean())}


def _number(value: Any) -> float | None:
    return float(f"{float(value):.5g}") if math.isfinite(float(value)) else None
