"""Tables of a run as Markdown, CSV or LaTeX."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from vauban.core.errors import UnknownName
from vauban.report.run.detection import detection_text
from vauban.report.run.metric_values import metric_head, metric_text, metrics_of_any
from vauban.report.run.result_rows import ResultRow, result_rows
from vauban.report.run.row_tables import certificates_text, measurements_text
from vauban.report.shared import format as fmt
from vauban.report.shared.text_tables import csv_lines, latex, markdown
from vauban.store import MetricColumn, Run

_FIRST = (
    "Model",
    "Defence",
    "Threat",
    "Attack",
    "Budget",
    "Set",
    "n",
    "Clean accuracy",
    "Robust accuracy (all)",
    "P_suc",
    "P_upp",
    "Median distance",
    "Mean distance | success",
    "Unrounded median",
)
_LAST = ("Gradients", "Queries", "Notes")

_RAW = (
    "model",
    "defence",
    "data",
    "threat",
    "attack",
    "kind",
    "norm",
    "eps",
    "clean_accuracy",
    "robust_accuracy",
    "robust_low",
    "robust_high",
    "images",
    "population",
    "n",
    "p_suc",
    "p_suc_low",
    "p_suc_high",
    "d_upp",
    "p_upp",
    "misclassified",
    "median",
    "median_low",
    "median_high",
    "conditional_mean",
    "unrounded_p_suc",
    "unrounded_median",
    "median_ssim",
    "median_psnr_db",
    "left_out",
    "not_finite_before",
    "not_finite_after",
    "fooled_or_rejected",
    "noise_rejected",
)
_RAW_LAST = ("gradients", "queries", "notes")


def render(run: Run, form: str = "md", population: str = "correct") -> str:
    """The tables of a run: cells, operating points of detectors, certificates, measurements; an empty line between them.

    Args:
        run: The run.
        form: `md`, `csv` (raw numbers, one column per interval end) or `latex` (booktabs).
        population: The set (`all`, `correct` or `common`) of all numbers of cells but robust and clean accuracy, which are
            over `all`.

    Raises:
        UnknownName: There is no such form or population.
    """
    forms: dict[str, Callable[[Sequence[ResultRow]], str]] = {"md": _markdown, "csv": csv_text, "latex": _latex}
    if form not in forms:
        raise UnknownName("format", form, forms)
    rows, others = result_rows(run, population), run.certificates or run.measurements
    tables = [forms[form](rows)] if rows or not others else []
    tables += [told] if (told := detection_text(run, form)) else []
    tables += [certificates_text(run.certificates, form, run.cells)] if run.certificates else []
    tables += [measurements_text(run.measurements, form)] if run.measurements else []
    return "\n".join(tables)


def table_metrics(rows: Sequence[ResultRow]) -> tuple[MetricColumn, ...]:
    """The declared metrics that the rows of a table have, in order of appearance."""
    return metrics_of_any(row.metrics for row in rows)


def headers(metrics: Sequence[MetricColumn]) -> tuple[str, ...]:
    """The heads of the columns, with one for each declared metric."""
    return (*_FIRST, *map(metric_head, metrics), *_LAST)


def formatted_row(row: ResultRow, metrics: Sequence[MetricColumn]) -> list[str]:
    """The fields of a row as text, in the order of `headers`."""
    numbers = row.summary
    tail = [metric_text(row.metrics.get(metric, math.nan)) for metric in metrics]
    tail += [fmt.count(row.gradients), fmt.count(row.queries), "; ".join(_notes(row))]
    head = [row.model, row.defence, row.threat, row.attack, row.budget]
    # Without a budget there is no robust accuracy, only distances.
    robust = fmt.DASH if row.eps is None else fmt.rate(row.robust_accuracy)
    accuracy = [fmt.percent(row.clean_accuracy.value), robust]
    if numbers is None:
        return [*head, "all", str(row.robust_accuracy.n), *accuracy, *[fmt.DASH] * 5, *tail]
    middle = [
        fmt.rate(numbers.p_suc),
        fmt.DASH if math.isnan(numbers.d_upp) else _at(numbers.p_upp.value, numbers.d_upp, row.norm),
        fmt.distance(numbers.median.value, row.norm),
        f"{fmt.distance(numbers.conditional.value, row.norm)} at {fmt.percent(numbers.conditional.p_suc)}",
        fmt.distance(numbers.unrounded_median, row.norm),
    ]
    return [*head, numbers.population, str(numbers.n), *accuracy, *middle, *tail]


def _notes(row: ResultRow) -> list[str]:
    """Remarks on a row, with the findings after which it cannot be relied on and the accuracy after each attack."""
    invalid = f"invalid: {', '.join(row.invalid)}" if row.invalid else ""
    return [note for note in (*row.notes, invalid, row.stages) if note]


def _at(share: float, distance: float, norm: str) -> str:
    return f"{fmt.percent(share)} at {fmt.distance(distance, norm)}"


def _markdown(table: Sequence[ResultRow]) -> str:
    metrics = table_metrics(table)
    return markdown(headers(metrics), [formatted_row(row, metrics) for row in table])


def raw_rows(run: Run, population: str = "correct") -> list[dict[str, Any]]:
    """The unrounded fields of every row of the results table, by their names in the CSV."""
    return [_raw(row) for row in result_rows(run, population)]


def csv_text(table: Sequence[ResultRow]) -> str:
    """Raw numbers, one line per row."""
    metrics = table_metrics(table)
    names = [*_RAW, *(name for metric in metrics for name in _raw_metric(metric, None))]
    return csv_lines([*dict.fromkeys(names), *_RAW_LAST], [_raw(row) for row in table])


def _raw(row: ResultRow) -> dict[str, Any]:
    """The unrounded fields of a row by their names."""
    robust = row.robust_accuracy
    values: list[Any] = [row.model, row.defence, row.data, row.threat, row.attack, row.kind, row.norm, row.eps]
    values += [row.clean_accuracy.value, robust.value, *robust.interval, robust.n]
    s = row.summary
    if s is None:
        values += ["all", robust.n] + [None] * 19
    else:
        values += [s.population, s.n, s.p_suc.value, *s.p_suc.interval, s.d_upp, s.p_upp.value, s.misclassified.value]
        values += [s.median.value, *s.median.interval, s.conditional.value]
        values += [s.unrounded_p_suc, s.unrounded_median, s.median_ssim, s.median_psnr_db, s.left_out, *s.not_finite]
        values += [s.fooled_or_rejected.value, s.noise_rejected.value]
    fields = dict(zip(_RAW, values, strict=True))
    for metric, value in row.metrics.items():
        fields |= _raw_metric(metric, value)
    fields |= dict(zip(_RAW_LAST, (row.gradients, row.queries, "; ".join(_notes(row))), strict=True))
    return fields


def _raw_metric(metric: MetricColumn, value: float | None) -> dict[str, Any]:
    name = f"{metric.aggregate}_{metric.name}"
    return {f"metric_{name}": value, f"unit_{name}": metric.unit, f"direction_{name}": metric.direction}


def _latex(table: Sequence[ResultRow]) -> str:
    metrics = table_metrics(table)
    aligned = "l" * 6 + "r" * (10 + len(metrics)) + "l"
    return latex(headers(metrics), [formatted_row(row, metrics) for row in table], aligned)
