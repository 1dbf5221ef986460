"""Certificates and measurements of a run as Markdown, CSV or LaTeX, beside the table of its cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vauban.report.run.certified import (
    certified_lines,
    certified_table,
    in_order_of_words,
    remarks_of,
    shown_radii,
    words_of,
)
from vauban.report.run.measured import HEADS, in_order, mean_of, measured_line, measured_table
from vauban.report.shared.text_tables import csv_lines, latex
from vauban.statistics.certified import certified_accuracy, empirical_accuracy
from vauban.statistics.intervals import wilson
from vauban.store.job_rows import JobRows
from vauban.store.query import CellRows

_CERTIFIED = (
    "model",
    "defence",
    "data",
    "certificate",
    "claim",
    "norm",
    "radius",
    "n",
    "certified_accuracy",
    "certified_low",
    "certified_high",
    "attacked_accuracy",
    "attacked_low",
    "attacked_high",
)
_MEASURED = (
    "model",
    "defence",
    "data",
    "attack",
    "metric",
    "unit",
    "direction",
    "n",
    "with_value",
    "mean",
    "mean_low",
    "mean_high",
)


def certificates_text(certificates: Sequence[JobRows], form: str, cells: Sequence[CellRows] = ()) -> str:
    """Certified accuracy against radius: a table for each certificate, in CSV one for all."""
    if form == "csv":
        return csv_lines(_CERTIFIED, certificate_rows(certificates))
    shown = _with_rows(certificates)
    if form == "latex":
        return "\n".join(_latex_certified(rows) for rows in shown)
    return "\n".join(
        "\n".join([certified_table(rows), *(remark.text for remark in remarks_of(rows, cells)), ""]) for rows in shown
    )


def measurements_text(measurements: Sequence[JobRows], form: str) -> str:
    """Means of the metrics of networks."""
    if form == "csv":
        return csv_lines(_MEASURED, measurement_rows(measurements))
    shown = in_order(measurements)
    if form == "latex":
        return latex(HEADS, [measured_line(rows) for rows in shown], "llllrrlrl")
    return measured_table(shown)


def certificate_rows(certificates: Sequence[JobRows]) -> list[dict[str, Any]]:
    """The unrounded certified accuracies of every certificate, by their names in the CSV."""
    return [line for rows in _with_rows(certificates) for line in _raw_certified(rows)]


def measurement_rows(measurements: Sequence[JobRows]) -> list[dict[str, Any]]:
    """The unrounded means of every measurement, by their names in the CSV."""
    return [_raw_measured(rows) for rows in in_order(measurements)]


def _with_rows(certificates: Sequence[JobRows]) -> list[JobRows]:
    return [rows for rows in in_order_of_words(certificates) if len(rows.columns["id"])]


def _latex_certified(rows: JobRows) -> str:
    head, *body = certified_lines(rows)
    named = " ".join(f"{' · '.join(words_of(rows))}: {rows.meta['claim']}".split())
    return f"% {named}\n{latex(head, body, 'r' * len(head))}"


def _raw_certified(rows: JobRows) -> list[dict[str, Any]]:
    at, n = np.asarray(shown_radii(rows)), len(rows.columns["id"])
    fixed = [*words_of(rows), rows.meta["claim"], rows.meta["norm"]]
    lines = []
    for radius, certified, attacked in zip(
        at, certified_accuracy(rows.columns, at), empirical_accuracy(rows.columns, at), strict=True
    ):
        both = [*_with_interval(certified, n), *_with_interval(attacked, n)]
        lines.append(dict(zip(_CERTIFIED, [*fixed, float(radius), n, *both], strict=True)))
    return lines


def _with_interval(share: float, n: int) -> list[float | None]:
    if np.isnan(share):
        return [None] * 3
    return [float(share), *wilson(min(max(share * n, 0.0), n), n)]


def _raw_measured(rows: JobRows) -> dict[str, Any]:
    meta, n, mean = rows.meta, len(rows.columns["id"]), mean_of(rows.columns)
    fixed = [meta[word] for word in _MEASURED[:7]]
    numbers = [n, round(mean.p_suc * n) if n else 0, mean.value, *mean.interval]
    return dict(zip(_MEASURED, [*fixed, *numbers], strict=True))
