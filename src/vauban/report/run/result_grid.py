"""Grid of attacks by defences and threats of each model, one number per field."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vauban.report.run.headlines import Headline
from vauban.report.run.result_rows import ResultRow
from vauban.report.shared import format as fmt
from vauban.statistics.estimates import Estimate

Column = tuple[str, str]
"""A defence and the threat that it met."""


@dataclass(frozen=True)
class GridField:
    """One number of a grid.

    Attributes:
        value: The number as text.
        detail: The smaller line below it.
        shade: Robust accuracy in [0,1]; None where fields are not comparable.
        notes: Remarks that a reader must know before trusting the number.
        invalid: Codes of the findings after which it cannot be relied on.
        span: The number of columns that it holds for.
    """

    value: str
    detail: str
    shade: float | None
    notes: str = ""
    invalid: tuple[str, ...] = ()
    span: int = 1


@dataclass(frozen=True)
class GridLine:
    """One attack of a grid.

    Attributes:
        attack: The label of the attack.
        detail: Its budget.
        kind: As `ResultRow.kind`.
        fields: What fills the columns from left to right, None where nothing was run.
    """

    attack: str
    detail: str
    kind: str
    fields: tuple[GridField | None, ...]


@dataclass(frozen=True)
class ResultGrid:
    """The grid of one model on one data set; the worst case over all threats comes last.

    Attributes:
        model: The model.
        data: The data set.
        columns: One per defence and threat, white-box first; a removed defence, which no verdict counts,
            last of its defence.
        clean: Clean accuracy by column, as text.
        lines: One line per attack and budget.
    """

    model: str
    data: str
    columns: tuple[Column, ...]
    clean: tuple[str, ...]
    lines: tuple[GridLine, ...]

    @property
    def defences(self) -> list[tuple[str, int]]:
        """Each defence with the number of its columns."""
        return list(Counter(defence for defence, _ in self.columns).items())


def result_grids(table: Sequence[ResultRow], verdicts: Sequence[Headline]) -> list[ResultGrid]:
    """One grid per model and data set, in the order of the table."""
    keys = dict.fromkeys((row.model, row.data) for row in table)
    return [
        _grid(
            [row for row in table if (row.model, row.data) == key],
            {verdict.defence: verdict for verdict in verdicts if (verdict.model, verdict.data) == key},
        )
        for key in keys
    ]


def _grid(table: list[ResultRow], verdicts: dict[str, Headline]) -> ResultGrid:
    rows = [row for row in table if row.kind != "worst"]
    defences = list(dict.fromkeys(row.defence for row in rows))
    met = dict.fromkeys((row.defence, row.threat) for row in rows)
    columns = tuple(
        sorted(met, key=lambda column: (defences.index(column[0]), _removed(column), column[1] != "white-box"))
    )
    grid: dict[tuple[str, str], dict[Column, ResultRow]] = {}
    for row in sorted(rows, key=lambda row: (row.norm, row.eps is None, row.attack, row.eps or 0.0)):
        grid.setdefault((row.attack, row.budget), {})[row.defence, row.threat] = row
    lines = [_line(attack, budget, fields, columns) for (attack, budget), fields in grid.items()]
    bounds = {(bound.norm, bound.eps): bound.budget for verdict in verdicts.values() for bound in verdict.bounds}
    lines += [_worst(norm, eps, budget, columns, verdicts) for (norm, eps), budget in sorted(bounds.items())]
    answers = [[row.clean_accuracy for row in rows if (row.defence, row.threat) == column] for column in columns]
    clean = tuple(fmt.percent(max(rates, key=lambda rate: rate.n).value) for rates in answers)
    return ResultGrid(table[0].model, table[0].data, columns, clean, tuple(lines))


def _removed(column: Column) -> bool:
    return column[1].startswith("removed")


def _line(attack: str, budget: str, row_of: dict[Column, ResultRow], columns: tuple[Column, ...]) -> GridLine:
    fields = tuple(_field(row_of[column]) if column in row_of else None for column in columns)
    return GridLine(attack, budget, next(iter(row_of.values())).kind, fields)


def _field(row: ResultRow) -> GridField:
    notes = "; ".join(row.notes)
    if row.eps is None and row.summary is not None:
        broke = f"{fmt.percent(row.summary.p_suc.value)} broken"
        return GridField(fmt.distance(row.summary.median.value, row.norm), broke, None, notes, row.invalid)
    return _rate(row.robust_accuracy, notes, row.invalid)


def _rate(rate: Estimate, notes: str = "", invalid: tuple[str, ...] = (), span: int = 1) -> GridField:
    shade = None if math.isnan(rate.value) else rate.value
    return GridField(fmt.percent(rate.value), fmt.percent_range(rate.interval), shade, notes, invalid, span)


def _worst(norm: str, eps: float, budget: str, columns: tuple[Column, ...], verdicts: dict[str, Headline]) -> GridLine:
    """The bounds of the verdicts, each below all columns of its defence that it counts."""
    fields: list[GridField | None] = []
    counted = Counter(column[0] for column in columns if not _removed(column))
    for defence in dict.fromkeys(column[0] for column in columns):
        verdict, removed = verdicts.get(defence), sum(c[0] == defence and _removed(c) for c in columns)
        rates = [b.robust for b in verdict.bounds if (b.norm, b.eps) == (norm, eps)] if verdict else []
        if rates and verdict and counted[defence]:
            fields.append(_rate(rates[0], invalid=verdict.invalid, span=counted[defence]))
            fields += [None] * removed
        else:
            fields += [None] * (counted[defence] + removed)
    return GridLine("worst case", f"{budget}, every attack and threat", "worst", tuple(fields))
