"""The dots of a reproduction: lanes grouped by everything in their keys that changes slowly, one panel for each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vauban.report.reproduction.numbers import measured, printed
from vauban.report.reproduction.printed_table import columns, qualifies, same, varying
from vauban.report.shared.axes import rounded
from vauban.statistics.compare import ComparisonRow

FEW = 4  # lanes that a panel should have on average


@dataclass(frozen=True)
class Lane:
    """One number: what tells it from the others of its panel, its row, and the whole of it in words."""

    name: str
    row: ComparisonRow
    words: str


@dataclass(frozen=True)
class DotPanel:
    """Lanes of one metric that share a heading. top: the right end of their axis, 1 for a rate."""

    heading: str
    lanes: tuple[Lane, ...]
    top: float

    @property
    def ticks(self) -> tuple[str, ...]:
        """What stands below the two ends and the middle of the axis."""
        if self.lanes[0].row["unit"] == "rate":
            return "0", "50", "100\u00a0%"
        return "0", f"{self.top / 2:g}", f"{self.top:g}"


def common(rows: Sequence[ComparisonRow]) -> dict[str, str]:
    """The parts of the keys that are the same and not empty in every row, under their own names."""
    return {name: rows[0]["key"][name] for name in columns(rows) if same(rows, name) and rows[0]["key"][name]}


def panels(rows: Sequence[ComparisonRow]) -> list[DotPanel]:
    """Rows by metric and by the parts of their keys, except the part that changes fastest: that names the lane.

    Where this would leave panels of fewer than FEW lanes on average, the next fastest parts name the lane too. Rows without
    keys are grouped by metric and named by their labels.
    """
    names = varying(rows)
    slow = _slow(rows, names, len(rows) / FEW)
    fast = [name for name in names if name not in slow]
    more = [name for name in columns(rows) if qualifies(rows, name)]
    groups: dict[tuple[str, ...], list[Lane]] = {}
    for row in rows:
        key = row["key"]
        heading = (words(row["metric"]), *(said(name, key[name]) for name in [*slow, *more] if key.get(name)))
        lane = " · ".join(alone(name, key[name]) for name in fast if key.get(name)) or short(row)
        groups.setdefault(heading, []).append(Lane(lane, row, sentence(row)))
    return [DotPanel(" · ".join(heading), tuple(lanes), _top(rows, lanes)) for heading, lanes in groups.items()]


def words(name: str) -> str:
    """A column's or metric's name as words."""
    return name.replace("_", " ")


def said(name: str, value: str) -> str:
    """A column with its value; a column in steps of 1/255 as a fraction."""
    return f"{title(name)} {alone(name, value)}" if name.endswith("_255") else f"{title(name)}: {value}"


def title(name: str) -> str:
    """A column's name as words, without the unit that its values carry."""
    return words(name.removesuffix("_255"))


def column(name: str) -> str:
    """The head of a column: its name with a capital."""
    return title(name)[:1].upper() + title(name)[1:]


def alone(name: str, value: str) -> str:
    """The value of a column by itself."""
    return f"{value}/255" if name.endswith("_255") and value else value


def metric_title(rows: Sequence[ComparisonRow], metric: str) -> str:
    """A metric with the columns that qualify it (a threshold), all their values."""
    found = [row["key"] for row in rows if row["metric"] == metric]
    values = {
        name: dict.fromkeys(key.get(name, "") for key in found) for name in columns(rows) if qualifies(rows, name)
    }
    more = [said(name, ", ".join(given)) for name, given in values.items() if any(given)]
    return ", ".join((column(metric), *more))


def short(row: ComparisonRow) -> str:
    """The label without the metric, which stands beside it; the values of the key where there is no label."""
    label = row["label"].replace(f": {words(row['metric'])}", "").replace(f": {row['metric']}", "")
    if label.strip() or row["label"].strip():
        return label if label.strip() else row["label"]
    return " · ".join(alone(name, row["key"][name]) for name in columns([row]) if row["key"][name])


def sentence(row: ComparisonRow) -> str:
    """A lane for those who cannot see it."""
    said_so = f"{short(row)}, {words(row['metric'])}: "
    if row["printed"] is not None:
        said_so += f"paper {printed(row)}{'' if row['certain'] else ' (uncertain)'}, "
    return said_so + f"ours {measured(row)}"


def _slow(rows: Sequence[ComparisonRow], names: Sequence[str], most: float) -> list[str]:
    """The columns that head the panels: all but the fastest, or fewer, so that there are at most so many panels."""
    for kept in range(len(names) - 1, 0, -1):
        slow = list(names[:kept])
        if len({(row["metric"], *(row["key"].get(name, "") for name in slow)) for row in rows}) <= most:
            return slow
    return []


def _top(rows: Sequence[ComparisonRow], lanes: Sequence[Lane]) -> float:
    """Panels of one metric share their axis, or they could not be compared."""
    if lanes[0].row["unit"] == "rate":
        return 1.0
    shown = [row for row in rows if row["metric"] == lanes[0].row["metric"]]
    numbers = [
        n for row in shown for n in (row["printed"], row["ours"], row["high"], *row["per_seed"]) if n is not None
    ]
    return rounded(max(numbers, default=1.0) or 1.0)
