"""Preflight before a cell, indicators after its first batch, comparisons across cells: where findings are made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from vauban.attacks.foreign import Foreign
from vauban.core.goals import goal_of
from vauban.engine.first_answer import out_of_memory
from vauban.evaluate.batch import Evaluated
from vauban.evaluate.cell import Cell
from vauban.evaluate.diagnostics import indicators_rules as rules
from vauban.evaluate.diagnostics.attack_checks import idle, parameter_findings
from vauban.evaluate.diagnostics.findings import Finding, fired
from vauban.evaluate.diagnostics.first_look import answers_vary
from vauban.evaluate.diagnostics.indicators import across, after
from vauban.evaluate.diagnostics.indicators_counts import moved, own
from vauban.evaluate.diagnostics.preflight import before
from vauban.evaluate.diagnostics.preflight_rules import SUBSET
from vauban.evaluate.planted.outcome import PlantedTest
from vauban.store.cell_store import CellStore
from vauban.store.parquet import Store
from vauban.store.query import read_cell

T = TypeVar("T")


class Preflight:
    """Looks at each model once per threat, and remembers."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str, str], tuple[list[Finding], bool]] = {}

    def check(self, cell: Cell) -> tuple[Cell, list[Finding]]:
        """The cell, declared random where the model's answers turn out to vary, and what was found."""
        key = id(cell.defended), cell.threat_name, str(cell.goal)
        if key not in self._seen:
            self._seen[key] = as_many_as_fit(partial(_look, cell), min(SUBSET, len(cell.data)))
        looked, random = self._seen[key]
        attack, levels = cell.attack.value, cell.threat.levels or cell.data.levels
        findings = [*looked, *parameter_findings(attack, cell.data.shape, len(cell.data), levels)]
        return cell.randomised() if random and not cell.threat.randomised else cell, findings


def _look(cell: Cell, n: int) -> tuple[list[Finding], bool]:
    """Findings on the first n samples, and whether the judged model is random."""
    batch = cell.data.take(n).to(cell.settings.device)
    findings = before(cell.threat, batch.x, batch.y, cell.goal, batch.ids, cell.settings.seed, cell.data.known_classes)
    told = any(f.code == "undeclared-randomness" for f in findings)
    return findings, told or answers_vary(cell.threat.target, batch.x[:8])


def as_many_as_fit(question: Callable[[int], T], n: int) -> T:
    """What a diagnostic says of the first n samples, or of half as many for as long as memory runs out."""
    while n > 1:
        try:
            return question(n)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        n //= 2
    return question(n)


def check_run(cell: Cell, done: Evaluated) -> list[Finding]:
    """What the diagnostics say of an attack, on the first samples of a batch that it has just attacked."""
    rows = done.attacked.nonzero().squeeze(1)[:SUBSET]
    if not len(rows):
        return []
    batch, goal = done.batch, goal_of(cell.goal, rows)
    x, y, ids, result = batch.x[rows], batch.y[rows], batch.ids[rows], done.result.at(rows)
    findings = idle(cell.attack.value, done)
    findings += after(cell.attack.value, cell.threat, x, y, goal, ids, result, cell.settings.seed)
    if isinstance(cell.attack.value, Foreign):
        outside = int((done.attacked & ~done.verdict.admissible).sum())
        findings += fired([rules.OUTSIDE.on(outside, int(done.attacked.sum()))])
    return findings


def check_study(store: Store, cells: Sequence[CellStore]) -> None:
    """Compare the finished cells of one model, defence and data set, and store what contradicts, and what each counted."""
    read = [read_cell(cell, pictures=False) for cell in cells]
    cells_read = [(cell.meta, cell.columns) for cell in read if cell.complete]
    labelled = [*across(cells_read), *own(cells_read), *_planted(cells), *_drifted(cells)]
    groups: dict[str, list[Finding]] = defaultdict(list)
    for label, finding in labelled:
        groups[label].append(finding)
    store.write_findings([{**f.to_json(), "about": label} for label, fs in groups.items() for f in fs])


def _drifted(cells: Sequence[CellStore]) -> list[tuple[str, Finding]]:
    """What networks that were asked again say, each with the hash of a cell."""
    stored = [(cell.key, cell.drift()) for cell in cells]
    return [(key, finding) for key, facts in stored if facts is not None for finding in moved(facts)]


def _planted(cells: Sequence[CellStore]) -> list[tuple[str, Finding]]:
    """What the planted tests of cells say, each with the hash of its cell."""
    stored = [(cell.key, cell.planted()) for cell in cells]
    return [(key, PlantedTest.from_json(facts["test"]).finding) for key, facts in stored if facts is not None]
