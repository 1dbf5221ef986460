"""Comparison rows as a table: one line has every metric of what it measures, as printed tables have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vauban.report.reproduction.key_columns import varying_columns
from vauban.statistics.compare import REASONS, ComparisonRow, Reason


@dataclass(frozen=True)
class MetricTableLine:
    """One line of a table.

    Attributes:
        names: The values of the columns that tell it from the other lines.
        rows: Its row of each metric, None where it has none.
    """

    names: tuple[str, ...]
    rows: tuple[ComparisonRow | None, ...]


@dataclass(frozen=True)
class MetricTable:
    """Lines by metrics.

    Attributes:
        columns: What tells the lines apart, the slowest first.
        metrics: The metrics, in the order of the rows.
        lines: The lines, in the order of the rows.
    """

    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    lines: tuple[MetricTableLine, ...]


def table_by_key(rows: Sequence[ComparisonRow]) -> MetricTable | None:
    """The rows as a table whose lines are told apart by their keys.

    Returns:
        The table, or None where the rows make none. They make one where every key names its metric, some line has
        several metrics, no line has a metric twice, and most of the fields are filled.
    """
    if not all("metric" in row["key"] for row in rows):
        return None
    metrics = tuple(dict.fromkeys(row["metric"] for row in rows))
    columns = tuple(varying_columns(rows))
    by_names: dict[tuple[str, ...], dict[str, ComparisonRow]] = {}
    for row in rows:
        line = by_names.setdefault(tuple(row["key"].get(name, "") for name in columns), {})
        if row["metric"] in line:
            return None
        line[row["metric"]] = row
    if not columns or not len(by_names) * len(metrics) / 2 < len(rows) > len(by_names):
        return None
    lines = (MetricTableLine(names, tuple(map(line.get, metrics))) for names, line in by_names.items())
    return MetricTable(columns, metrics, tuple(lines))


def table_by_name(rows: Sequence[ComparisonRow], name: Callable[[ComparisonRow], str]) -> MetricTable | None:
    """The rows as a table with one line for each name.

    Args:
        rows: The rows.
        name: The name of a row; rows of one name share a line.

    Returns:
        The table, or None where that saves nothing or a line would have a metric twice.
    """
    metrics = tuple(dict.fromkeys(row["metric"] for row in rows))
    by_name: dict[str, dict[str, ComparisonRow]] = {}
    for row in rows:
        by_name.setdefault(name(row), {})[row["metric"]] = row
    if sum(map(len, by_name.values())) < len(rows) or len(by_name) == len(rows):
        return None
    lines = (MetricTableLine((text,), tuple(map(line.get, metrics))) for text, line in by_name.items())
    return MetricTable(("Cell",), metrics, tuple(lines))


def reasons_of_line(rows: Sequence[ComparisonRow | None]) -> list[tuple[str, str]]:
    """Each reason of a line, the gravest first, with the metrics it holds for; no metrics where it holds for all."""
    metrics: dict[Reason, list[str]] = {}
    for row in rows:
        if row is not None:
            metrics.setdefault(row["reason"], []).append(row["metric"])
    return [
        (reason, "" if len(metrics) == 1 else ", ".join(names))
        for reason, names in sorted(metrics.items(), key=lambda item: REASONS.index(item[0]))
    ]
