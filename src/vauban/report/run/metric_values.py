"""Declared metrics in the results table: which ones, and how their heads and numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from vauban.report.shared import format as fmt
from vauban.store import CellRows, MetricColumn

ARROWS = {"lower": "↓", "higher": "↑"}


def metrics_of_all(cells: Sequence[CellRows]) -> tuple[MetricColumn, ...]:
    """The metrics that every one of the cells declares, in the order of the first."""
    return tuple(metric for metric in cells[0].metrics if all(metric in cell.metrics for cell in cells[1:]))


def metrics_of_any(values: Iterable[Mapping[MetricColumn, float]]) -> tuple[MetricColumn, ...]:
    """The metrics that any of the rows has, each once, in order of appearance."""
    return tuple(dict.fromkeys(metric for row in values for metric in row))


def metric_head(metric: MetricColumn) -> str:
    """Head of a metric's column: name, aggregate, unit and the direction in which it is better."""
    unit = "" if metric.unit in ("", "1") else f" in {metric.unit}"
    return f"{metric.name}, {metric.aggregate}{unit} {ARROWS[metric.direction]}"


def metric_text(value: float) -> str:
    """A metric's number with three digits."""
    if math.isnan(value):
        return fmt.DASH
    if math.isinf(value):
        return fmt.INFINITY if value > 0 else f"−{fmt.INFINITY}"
    return f"{value:.3g}".replace("-", "−")
