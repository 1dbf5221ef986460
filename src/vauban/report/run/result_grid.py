"""Grid of attacks by threats and defences of each model, one number per field."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vauban.report.run.headlines import Headline
from vauban.report.run.result_rows import ResultRow
from vauban.report.shared import format as fmt
from vauban.statistics.estimates import Estimate


@dataclass(frozen=True)
class GridField:
    """One number of a grid.

    Attributes:
        value: The number as text.
        detail: The smaller line below it.
        shade: Robust accuracy in [0,1]; None where fields are not comparable.
        threat: The threat where it is not the usual one of the column, else "".
        notes: Remarks that a reader must know before trusting the number.
    """

    value: str
    detail: str
    shade: float | None
    threat: str = ""
    notes: str = ""


@dataclass(frozen=True)
class GridLine:
    """One attack of a grid.

    Attributes:
        attack: The label of the attack.
        detail: Its budget, and its threat where all its fields share one that is not usual.
        kind: As `ResultRow.kind`.
        fields: One field per column, None where nothing was run.
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
        columns: Defences with their usual threat, which a line names only where it differs.
        clean: Clean accuracy by column, as text.
        lines: One line per attack, budget and, where a defence met it under several, threat.
    """

    model: str
    data: str
    columns: tuple[tuple[str, str], ...]
    clean: tuple[str, ...]
    lines: tuple[GridLine, ...]


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
    columns = tuple(dict.fromkeys(row.defence for row in table))
    usual = {c: Counter(row.threat for row in rows if row.defence == c).most_common(1)[0][0] for c in columns}
    # One line per attack where each defence met it under one threat (white-box here, adaptive there); else per threat.
    meetings = Counter((row.attack, row.budget, row.defence) for row in rows)
    split = {(attack, budget) for (attack, budget, _), times in meetings.items() if times > 1}
    grid: dict[tuple[str, str, str], dict[str, ResultRow]] = {}
    for row in sorted(rows, key=lambda row: (row.norm, row.eps is None, row.attack, row.eps or 0.0)):
        threat = row.threat if (row.attack, row.budget) in split else ""
        grid.setdefault((row.attack, row.budget, threat), {})[row.defence] = row
    lines = [_line(attack, fields, usual) for (attack, _, _), fields in grid.items()]
    bounds = {(bound.norm, bound.eps): bound.budget for verdict in verdicts.values() for bound in verdict.bounds}
    lines += [_worst(norm, eps, budget, columns, verdicts) for (norm, eps), budget in sorted(bounds.items())]
    answers = [max((row.clean_accuracy for row in table if row.defence == c), key=lambda r: r.n) for c in columns]
    clean = tuple(fmt.percent(answer.value) for answer in answers)
    return ResultGrid(table[0].model, table[0].data, tuple(usual.items()), clean, tuple(lines))


def _line(attack: str, row_of: dict[str, ResultRow], usual: dict[str, str]) -> GridLine:
    threats = {row.threat for row in row_of.values()}
    first = next(iter(row_of.values()))
    as_usual = all(row.threat == usual[defence] for defence, row in row_of.items())
    shared = not as_usual and len(threats) == 1
    detail = f"{first.budget}, {first.threat}" if shared else first.budget
    fields = tuple(_field(row_of[c], "" if shared else usual[c]) if c in row_of else None for c in usual)
    return GridLine(attack, detail, first.kind, fields)


def _field(row: ResultRow, silent: str) -> GridField:
    threat, notes = row.threat if silent and row.threat != silent else "", "; ".join(row.notes)
    if row.eps is None and row.summary is not None:
        broke = f"{fmt.percent(row.summary.p_suc.value)} broken"
        return GridField(fmt.distance(row.summary.median.value, row.norm), broke, None, threat, notes)
    return _rate(row.robust_accuracy, threat, notes)


def _rate(rate: Estimate, threat: str = "", notes: str = "") -> GridField:
    shade = None if math.isnan(rate.value) else rate.value
    return GridField(fmt.percent(rate.value), fmt.percent_range(rate.interval), shade, threat, notes)


def _worst(norm: str, eps: float, budget: str, columns: tuple[str, ...], verdicts: dict[str, Headline]) -> GridLine:
    fields: list[GridField | None] = []
    for column in columns:
        bounds = verdicts[column].bounds if column in verdicts else ()
        rates = [bound.robust for bound in bounds if (bound.norm, bound.eps) == (norm, eps)]
        fields.append(_rate(rates[0]) if rates else None)
    return GridLine("worst case", f"{budget}, every attack and threat", "worst", tuple(fields))
