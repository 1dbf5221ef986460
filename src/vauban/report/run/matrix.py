"""The grid attacks x threats x defences of each model, one number per field."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vauban.report.run.headlines import Headline
from vauban.report.run.rows import ResultRow
from vauban.report.shared import format as fmt
from vauban.statistics.estimates import Estimate


@dataclass(frozen=True)
class MatrixCell:
    """One field: the number, the smaller line below it, and a shade in 0..1 (None: not comparable)."""

    value: str
    detail: str
    shade: float | None
    threat: str = ""
    flags: str = ""


@dataclass(frozen=True)
class MatrixLine:
    """One line of a grid; a field is None where nothing was run."""

    attack: str
    detail: str
    kind: str
    fields: tuple[MatrixCell | None, ...]


@dataclass(frozen=True)
class Matrix:
    """The grid of one model on one data set; the worst case over all threats comes last.

    `columns` are defences with their usual threat, which a line names only where it differs.
    """

    model: str
    data: str
    columns: tuple[tuple[str, str], ...]
    clean: tuple[str, ...]
    lines: tuple[MatrixLine, ...]


def matrices(table: Sequence[ResultRow], verdicts: Sequence[Headline]) -> list[Matrix]:
    """One grid per model and data set, in the order of the table."""
    keys = dict.fromkeys((row.model, row.data) for row in table)
    return [
        _matrix(
            [row for row in table if (row.model, row.data) == key],
            {verdict.defence: verdict for verdict in verdicts if (verdict.model, verdict.data) == key},
        )
        for key in keys
    ]


def _matrix(table: list[ResultRow], verdicts: dict[str, Headline]) -> Matrix:
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
    return Matrix(table[0].model, table[0].data, tuple(usual.items()), clean, tuple(lines))


def _line(attack: str, found: dict[str, ResultRow], usual: dict[str, str]) -> MatrixLine:
    threats = {row.threat for row in found.values()}
    first = next(iter(found.values()))
    as_usual = all(row.threat == usual[defence] for defence, row in found.items())
    shared = not as_usual and len(threats) == 1
    detail = f"{first.budget}, {first.threat}" if shared else first.budget
    fields = tuple(_field(found[c], "" if shared else usual[c]) if c in found else None for c in usual)
    return MatrixLine(attack, detail, first.kind, fields)


def _field(row: ResultRow, silent: str) -> MatrixCell:
    threat, flags = row.threat if silent and row.threat != silent else "", "; ".join(row.notes)
    if row.eps is None and row.summary is not None:
        broke = f"{fmt.percent(row.summary.p_suc.value)} broken"
        return MatrixCell(fmt.distance(row.summary.median.value, row.norm), broke, None, threat, flags)
    return _rate(row.robust_accuracy, threat, flags)


def _rate(rate: Estimate, threat: str = "", flags: str = "") -> MatrixCell:
    shade = None if math.isnan(rate.value) else rate.value
    return MatrixCell(fmt.percent(rate.value), fmt.percent_range(rate.interval), shade, threat, flags)


def _worst(norm: str, eps: float, budget: str, columns: tuple[str, ...], verdicts: dict[str, Headline]) -> MatrixLine:
    fields: list[MatrixCell | None] = []
    for column in columns:
        bounds = verdicts[column].bounds if column in verdicts else ()
        rates = [bound.robust for bound in bounds if (bound.norm, bound.eps) == (norm, eps)]
        fields.append(_rate(rates[0]) if rates else None)
    return MatrixLine("worst case", f"{budget}, every attack and threat", "worst", tuple(fields))
