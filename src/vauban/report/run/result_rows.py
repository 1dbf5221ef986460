"""Rows of the results table: every cell, the union over budgets of one attack, the worst case over attacks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vauban.report.run.attack_labels import attack_labels
from vauban.report.run.attack_stages import stage_note
from vauban.report.run.doubts import cell_doubts, invalid_codes
from vauban.report.run.judged_cells import attacked_cells, cell_notes, current_cells, judged_network, undefended_first
from vauban.report.run.metric_values import metrics_of_all
from vauban.report.shared import format as fmt
from vauban.statistics.combine import WorstCase, family, group, norm_of, union, worst_case
from vauban.statistics.estimates import Estimate, rate
from vauban.statistics.summarise import Summary, summarise
from vauban.statistics.summary import common_ids, metric_of_successes, tolerance_of
from vauban.statistics.summary import population as population_mask
from vauban.store import CellRows, MetricColumn, Run


@dataclass(frozen=True)
class ResultRow:
    """One line of the results table.

    Attributes:
        model: The model.
        defence: The defence in front of it, `none` without one.
        data: The data set.
        threat: The threat.
        attack: The label of the attack.
        norm: The norm that it minimises or is limited in.
        eps: The budget in pixels of [0,1], None for an attack that minimises.
        kind: `cell`, `union` of the budgets of one attack, or `worst` case over attacks.
        clean_accuracy: Accuracy without attack, over all samples.
        robust_accuracy: Accuracy under attack, over all samples.
        summary: The other numbers; None for a worst case, which has no single attack.
        gradients: Backward passes per sample.
        queries: Forward passes per sample.
        notes: Remarks that a reader must know before trusting the row.
        metrics: The number of each declared metric.
        invalid: Codes of the findings after which the row cannot be relied on.
        stages: The accuracy after each attack of a cascade or of the standard battery, as a remark.
    """

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
    metrics: Mapping[MetricColumn, float] = field(default_factory=dict)
    invalid: tuple[str, ...] = ()
    stages: str = ""

    @property
    def budget(self) -> str:
        """The limit of the attack as text."""
        return fmt.budget(self.norm, self.eps)


def result_rows(run: Run, population: str = "correct") -> list[ResultRow]:
    """Every row of a run, by model, defence, data and threat.

    Args:
        run: The run.
        population: The set (`all`, `correct` or `common`) of P_suc, distances and metrics.
    """
    cells = attacked_cells(run)
    labels, shared = attack_labels(cells), common_ids([cell.columns for cell in cells])
    groups = group(cells, lambda cell: (*judged_network(cell), str(cell.meta.get("threat"))))
    rows: list[ResultRow] = []
    for key in sorted(groups, key=undefended_first):
        members = groups[key]
        doubts = {cell.meta["hash"]: cell_doubts(cell, run.findings) for cell in members}
        named = [(cell, labels[cell.meta["hash"]], doubts[cell.meta["hash"]]) for cell in members]
        single = [replace(_cell_row([cell], label, population, shared), invalid=codes) for cell, label, codes in named]
        rows += sorted(single, key=lambda row: (row.attack, row.norm, row.eps or 0.0))
        for runs in group(members, family).values():
            ids = [np.sort(cell.columns["id"]) for cell in runs]
            if len({cell.meta.get("eps") for cell in runs}) > 1 and all(np.array_equal(i, ids[0]) for i in ids):
                union_row = _cell_row(runs, labels[runs[0].meta["hash"]], population, shared)
                codes = set().union(*(doubts[cell.meta["hash"]] for cell in runs))
                rows.append(replace(union_row, invalid=tuple(sorted(codes))))
        for (norm, eps), rivals in group(
            current_cells(members), lambda cell: (norm_of(cell), cell.meta.get("eps"))
        ).items():
            if len(rivals) > 1 and eps is not None:
                worst = _worst_row(key, current_cells(members), norm, eps)
                rows.append(replace(worst, invalid=invalid_codes(current_cells(members), run.findings)))
    return rows


def _cell_row(runs: list[CellRows], label: str, population: str, shared: Any) -> ResultRow:
    """The row of one cell, or of the union of several, which are the budgets of one attack."""
    first, norm, metrics = runs[0], norm_of(runs[0]), metrics_of_all(runs)
    eps, columns = first.meta.get("eps"), first.columns
    if several := len(runs) > 1:
        eps = max(cell.meta.get("eps") or 0.0 for cell in runs)
        label = f"{label} (union of {len(runs)} budgets)"
        declared = {metric.name for cell in runs for metric in cell.metrics} - {metric.name for metric in metrics}
        columns = union([{k: v for k, v in cell.columns.items() if k not in declared} for cell in runs], norm)
    slack = max(tolerance_of(cell.meta) for cell in runs)
    numbers = summarise(columns, norm, population, shared, _d_upp(first), slack)
    chosen = population_mask(columns, population, shared)
    model, defence, data = judged_network(first)
    return ResultRow(
        model,
        defence,
        data,
        str(first.meta.get("threat")),
        label,
        norm,
        eps,
        "union" if several else "cell",
        numbers.clean_accuracy,
        numbers.robust_accuracy,
        numbers,
        numbers.gradients,
        numbers.queries,
        tuple(sorted({note for cell in runs for note in cell_notes(cell)})) if several else cell_notes(first),
        {m: metric_of_successes(columns, m.name, m.aggregate, chosen) for m in metrics},
        stages="" if several else stage_note(first),
    )


def _d_upp(cell: CellRows) -> float:
    """The distance at which P(D) is read off: the conventional budget of the data in the attack's norm."""
    known = cell.meta.get("d_upp")
    return math.nan if known is None else float(known)


def _worst_row(key: tuple[str, str, str, str], cells: list[CellRows], norm: str, eps: float) -> ResultRow:
    worst = worst_case(cells, norm, eps)
    clean, robust = rate(worst.clean_of_all), rate(worst.robust)
    model, defence, data, threat = key
    return ResultRow(
        model, defence, data, threat, "worst case", norm, eps, "worst", clean, robust, None, *mean_cost(worst)
    )


def mean_cost(worst: WorstCase) -> tuple[float, float]:
    """Gradients and queries per sample of all attacks together; nan without samples."""
    if not len(worst.ids):
        return math.nan, math.nan
    return float(worst.gradients.mean()), float(worst.queries.mean())
