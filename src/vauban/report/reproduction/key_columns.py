"""Columns of the keys of comparison rows: those that tell rows apart, how fast each changes, which are constant."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from vauban.statistics.compare import ComparisonRow

_NOT_A_PLACE = ("metric", "value", "certain", "raw", "note", "n")


def key_columns(rows: Sequence[ComparisonRow]) -> list[str]:
    """The columns of the keys, without those that say what was measured and not where."""
    return list(dict.fromkeys(name for row in rows for name in row["key"] if name not in _NOT_A_PLACE))


def varying_columns(rows: Sequence[ComparisonRow]) -> list[str]:
    """The columns of the keys that tell rows of one metric apart, the one that changes slowest first.

    A column that some metrics always have and others never (a threshold) says more of the metric, not of the line.
    """
    names = [name for name in key_columns(rows) if not qualifies_metrics(rows, name) and not constant(rows, name)]
    return sorted(names, key=lambda name: _changes(rows, name))


def qualifies_metrics(rows: Sequence[ComparisonRow], name: str) -> bool:
    """Whether a column is filled in every row of some metrics and in none of the others."""
    filled: dict[str, set[bool]] = {}
    for row in rows:
        filled.setdefault(row["metric"], set()).add(bool(row["key"].get(name)))
    kinds = [given for given in filled.values() if len(given) == 1]
    return len(kinds) == len(filled) and {True} in kinds and {False} in kinds


def constant(rows: Sequence[ComparisonRow], name: str) -> bool:
    """Whether a column has one value in all rows."""
    return len({row["key"].get(name, "") for row in rows}) == 1


def _changes(rows: Sequence[ComparisonRow], name: str) -> int:
    """How often a column changes from one row to the next of the same metric."""
    by_metric: dict[str, list[str]] = {}
    for row in rows:
        by_metric.setdefault(row["metric"], []).append(row["key"].get(name, ""))
    return sum(one != two for values in by_metric.values() for one, two in pairwise(values))
