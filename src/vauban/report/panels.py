"""The dots of a reproduction: lanes grouped by everything in their keys that changes slowly, one panel for each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vauban.report import format as fmt
from vauban.store.intervals import Interval
from vauban.store.reproduction import Row

_FOUND = ("metric", "value", "certain", "raw", "note")


@dataclass(frozen=True)
class Lane:
    """One number: what tells it from the others of its panel, its row, and the whole of it in words."""

    name: str
    row: Row
    words: str


@dataclass(frozen=True)
class Panel:
    """Lanes of one metric that share a heading."""

    heading: str
    lanes: tuple[Lane, ...]


def common(rows: Sequence[Row]) -> dict[str, str]:
    """The parts of the keys that are the same and not empty in every row, under their own names."""
    return {name: rows[0]["key"][name] for name in _names(rows) if _same(rows, name) and rows[0]["key"][name]}


def panels(rows: Sequence[Row]) -> list[Panel]:
    """Rows by metric and by the parts of their keys, except the part that changes fastest: that names the lane.

    Rows without keys are grouped by metric and named by their labels.
    """
    varying = [name for name in _names(rows) if not _same(rows, name)]
    fastest = max(varying, key=lambda name: _changes(rows, name), default=None)
    groups: dict[tuple[str, ...], list[Lane]] = {}
    for row in rows:
        slow = (said(name, row["key"][name]) for name in varying if name != fastest and row["key"][name])
        heading = (words(row["metric"]), *slow)
        name = row["key"][fastest] if fastest else short(row)
        groups.setdefault(heading, []).append(Lane(name, row, sentence(row)))
    return [Panel(" · ".join(heading), tuple(lanes)) for heading, lanes in groups.items()]


def words(name: str) -> str:
    """A column's or metric's name as words."""
    return name.replace("_", " ")


def said(name: str, value: str) -> str:
    """A column with its value; a column in steps of 1/255 as a fraction."""
    return f"{words(name[:-4])} {value}/255" if name.endswith("_255") else f"{words(name)}: {value}"


def short(row: Row) -> str:
    """The label without the metric, which stands beside it."""
    label = row["label"].replace(f": {words(row['metric'])}", "")
    return label if label.strip() else row["label"]


def sentence(row: Row) -> str:
    """A lane for those who cannot see it."""
    said_so = f"{short(row)}, {words(row['metric'])}: "
    if row["printed"] is not None:
        said_so += f"paper {fmt.percent(row['printed'])}{'' if row['certain'] else ' (uncertain)'}, "
    return said_so + f"ours {measured(row)}"


def measured(row: Row) -> str:
    """Our number with its interval and the number of images."""
    return fmt.DASH if row["ours"] is None else f"{fmt.percent(row['ours'])} {within(row)}"


def within(row: Row) -> str:
    """The interval of our number and the number of images."""
    low, high = row["low"], row["high"]
    interval = "" if low is None or high is None else f"[{fmt.percent_range(Interval(low, high))}], "
    return f"{interval}n\u00a0=\u00a0{fmt.count(row['n'])}"


def _names(rows: Sequence[Row]) -> list[str]:
    """The columns that every row has, those left out that say what was found and not where."""
    return [
        name
        for name in (rows[0]["key"] if rows else ())
        if name not in _FOUND and all(name in row["key"] for row in rows)
    ]


def _same(rows: Sequence[Row], name: str) -> bool:
    return len({row["key"][name] for row in rows}) == 1


def _changes(rows: Sequence[Row], name: str) -> int:
    return sum(one["key"][name] != two["key"][name] for one, two in pairwise(rows))
