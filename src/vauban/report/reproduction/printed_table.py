"""The rows of a reproduction as the lines of the printed table: one line has every metric of what it measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vauban.statistics.compare import REASONS, ComparisonRow, Reason

_FOUND = ("metric", "value", "certain", "raw", "note")


@dataclass(frozen=True)
class TableLine:
    """The values of the columns that tell it from the other lines, and its row of each metric, None where it has none."""

    names: tuple[str, ...]
    rows: tuple[ComparisonRow | None, ...]


@dataclass(frozen=True)
class PrintedTable:
    """columns: what tells the lines apart, the slowest first. metrics: in the order of the rows."""

    columns: tuple[str, ...]
    metrics: tuple[str, ...]
    lines: tuple[TableLine, ...]


def grid(rows: Sequence[ComparisonRow]) -> PrintedTable | None:
    """The rows as a grid, or None where they make none.

    They make one where every key names its metric, some line has several metrics, no line has a metric twice, and most of
    the fields are filled.
    """
    if not all("metric" in row["key"] for row in rows):
        return None
    metrics = tuple(dict.fromkeys(row["metric"] for row in rows))
    columns = tuple(varying(rows))
    found: dict[tuple[str, ...], dict[str, ComparisonRow]] = {}
    for row in rows:
        line = found.setdefault(tuple(row["key"].get(name, "") for name in columns), {})
        if row["metric"] in line:
            return None
        line[row["metric"]] = row
    if not columns or not len(found) * len(metrics) / 2 < len(rows) > len(found):
        return None
    lines = (TableLine(names, tuple(map(line.get, metrics))) for names, line in found.items())
    return PrintedTable(columns, metrics, tuple(lines))


def gathered(rows: Sequence[ComparisonRow], name: Callable[[ComparisonRow], str]) -> PrintedTable | None:
    """The rows with one line for each name, or None where that saves nothing or a line would have a metric twice."""
    metrics = tuple(dict.fromkeys(row["metric"] for row in rows))
    found: dict[str, dict[str, ComparisonRow]] = {}
    for row in rows:
        found.setdefault(name(row), {})[row["metric"]] = row
    if sum(map(len, found.values())) < len(rows) or len(found) == len(rows):
        return None
    return PrintedTable(
        ("Cell",), metrics, tuple(TableLine((text,), tuple(map(line.get, metrics))) for text, line in found.items())
    )


def reasons(rows: Sequence[ComparisonRow | None]) -> list[tuple[str, str]]:
    """Each reason of a line, the gravest first, with the metrics it holds for; no metrics where it holds for all."""
    found: dict[Reason, list[str]] = {}
    for row in rows:
        if row is not None:
            found.setdefault(row["reason"], []).append(row["metric"])
    return [
        (reason, "" if len(found) == 1 else ", ".join(names))
        for reason, names in sorted(found.items(), key=lambda item: REASONS.index(item[0]))
    ]


def varying(rows: Sequence[ComparisonRow]) -> list[str]:
    """The columns of the keys that tell rows of one metric apart, the one that changes slowest first.

    A column that some metrics always have and others never (a threshold) says more of the metric, not of the line.
    """
    names = [name for name in columns(rows) if not qualifies(rows, name) and not same(rows, name)]
    return sorted(names, key=lambda name: changes(rows, name))


def columns(rows: Sequence[ComparisonRow]) -> list[str]:
    """The columns of the keys, those left out that say what was found and not where."""
    return list(dict.fromkeys(name for row in rows for name in row["key"] if name not in _FOUND))


def qualifies(rows: Sequence[ComparisonRow], name: str) -> bool:
    """Whether a column is filled in every row of some metrics and in none of the others."""
    filled: dict[str, set[bool]] = {}
    for row in rows:
        filled.setdefault(row["metric"], set()).add(bool(row["key"].get(name)))
    kinds = [given for given in filled.values() if len(given) == 1]
    return len(kinds) == len(filled) and {True} in kinds and {False} in kinds


def same(rows: Sequence[ComparisonRow], name: str) -> bool:
    """Whether a column has one value in all rows."""
    return len({row["key"].get(name, "") for row in rows}) == 1


def changes(rows: Sequence[ComparisonRow], name: str) -> int:
    """How often a column changes from one row to the next of the same metric."""
    by_metric: dict[str, list[str]] = {}
    for row in rows:
        by_metric.setdefault(row["metric"], []).append(row["key"].get(name, ""))
    return sum(one != two for values in by_metric.values() for one, two in pairwise(values))
