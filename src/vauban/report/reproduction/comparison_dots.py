"""Dots of a reproduction, paper and ours on one lane; lanes are grouped into panels by the slow parts of their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vauban.report.reproduction.key_columns import key_columns, qualifies_metrics, varying_columns
from vauban.report.reproduction.row_labels import column_value, column_with_value, row_description, row_label, spaced
from vauban.report.shared.axes import rounded_up
from vauban.statistics.compare import ComparisonRow

FEW = 4  # lanes that a panel should have on average


@dataclass(frozen=True)
class DotLane:
    """One number of the paper and of ours.

    Attributes:
        name: What tells it from the other lanes of its panel.
        row: The comparison that it shows.
        description: The whole of it as a sentence.
    """

    name: str
    row: ComparisonRow
    description: str


@dataclass(frozen=True)
class DotPanel:
    """Lanes of one metric that share a heading and an axis.

    Attributes:
        heading: The metric and the parts of the keys that all its lanes share.
        lanes: The lanes, in the order of the rows.
        top: The right end of the axis in the unit of the metric, 1 for a rate.
    """

    heading: str
    lanes: tuple[DotLane, ...]
    top: float

    @property
    def ticks(self) -> tuple[str, ...]:
        """The texts below the left end, the middle and the right end of the axis."""
        if self.lanes[0].row["unit"] == "rate":
            return "0", "50", "100\u00a0%"
        return "0", f"{self.top / 2:g}", f"{self.top:g}"


def dot_panels(rows: Sequence[ComparisonRow]) -> list[DotPanel]:
    """Group rows into panels by metric and by the parts of their keys, except the part that changes fastest.

    The fastest part names the lane. Where this would leave panels of fewer than FEW lanes on average, the next fastest
    parts name the lane too. Rows without keys are grouped by metric and named by their labels.
    """
    names = varying_columns(rows)
    slow = _heading_columns(rows, names, len(rows) / FEW)
    fast = [name for name in names if name not in slow]
    more = [name for name in key_columns(rows) if qualifies_metrics(rows, name)]
    groups: dict[tuple[str, ...], list[DotLane]] = {}
    for row in rows:
        key = row["key"]
        heading = (
            spaced(row["metric"]),
            *(column_with_value(name, key[name]) for name in [*slow, *more] if key.get(name)),
        )
        lane = " · ".join(column_value(name, key[name]) for name in fast if key.get(name)) or row_label(row)
        groups.setdefault(heading, []).append(DotLane(lane, row, row_description(row)))
    return [DotPanel(" · ".join(heading), tuple(lanes), _axis_end(rows, lanes)) for heading, lanes in groups.items()]


def _heading_columns(rows: Sequence[ComparisonRow], names: Sequence[str], most: float) -> list[str]:
    """The columns that head the panels: all but the fastest, or fewer, so that there are at most so many panels."""
    for kept in range(len(names) - 1, 0, -1):
        slow = list(names[:kept])
        if len({(row["metric"], *(row["key"].get(name, "") for name in slow)) for row in rows}) <= most:
            return slow
    return []


def _axis_end(rows: Sequence[ComparisonRow], lanes: Sequence[DotLane]) -> float:
    """Panels of one metric share their axis, or they could not be compared."""
    if lanes[0].row["unit"] == "rate":
        return 1.0
    shown = [row for row in rows if row["metric"] == lanes[0].row["metric"]]
    numbers = [
        n for row in shown for n in (row["printed"], row["ours"], row["high"], *row["per_seed"]) if n is not None
    ]
    return rounded_up(max(numbers, default=1.0) or 1.0)
