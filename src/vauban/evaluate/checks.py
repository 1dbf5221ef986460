"""Preflight before a cell, indicators after its first batch, comparisons across cells: where findings are made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import torch

from vauban.evaluate.batch import Evaluated
from vauban.evaluate.findings import Finding
from vauban.evaluate.indicators import across, after
from vauban.evaluate.plan import Cell
from vauban.evaluate.preflight import before
from vauban.store.parquet import Store
from vauban.store.query import read_cell

SUBSET = 32  # samples that diagnostics run on


class Preflight:
    """Looks at each model once per threat, and remembers."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str, str], list[Finding]] = {}

    def check(self, cell: Cell) -> tuple[Cell, list[Finding]]:
        """The cell, declared random where the model's answers turn out to vary, and what was found."""
        key = id(cell.defended), cell.threat_name, str(cell.goal)
        if key not in self._seen:
            batch = cell.data.take(SUBSET).to(cell.settings.device)
            self._seen[key] = before(cell.threat, batch.x, batch.y, cell.goal, batch.ids, cell.settings.seed)
        found = self._seen[key]
        if any(f.code == "undeclared-randomness" for f in found) and not cell.threat.randomised:
            cell = replace(cell, threat=replace(cell.threat, random=True), _cache={})
        return cell, found


def check_run(cell: Cell, done: Evaluated) -> list[Finding]:
    """What the diagnostics say of an attack, on the first samples of a batch it has just attacked."""
    n = min(SUBSET, len(done.batch))
    first = torch.arange(n, device=done.batch.x.device)
    batch, result = done.batch, done.result.at(first)
    return after(
        cell.attack.value, cell.threat, batch.x[:n], batch.y[:n], cell.goal, batch.ids[:n], result, cell.settings.seed
    )


def check_study(store: Store, cells: Sequence[Cell]) -> None:
    """Compare the finished cells of one model, defence and data set, and store what contradicts."""
    read = [read_cell(store.cell(cell.hash)) for cell in cells]
    found = across([(cell.meta, cell.columns) for cell in read if cell.complete])
    groups: dict[str, list[Finding]] = defaultdict(list)
    for label, finding in found:
        groups[label].append(finding)
    store.write_findings([{**f.to_json(), "about": label} for label, fs in groups.items() for f in fs])
