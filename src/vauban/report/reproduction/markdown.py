"""The numbers of a reproduction as GitHub tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vauban.report.reproduction.dot_panels import alone, column, metric_title, short, words
from vauban.report.reproduction.numbers import measured, points, points_range, printed, raw
from vauban.report.reproduction.printed_table import PrintedTable, gathered, grid, reasons
from vauban.statistics.compare import ComparisonRow

OURS = "Ours [95 % interval], n"
UNCERTAIN = "damaged in the source: shown, not scored"


def tables(record: Mapping[str, Any]) -> str:
    """GitHub tables: the paper's numbers beside ours, then the cells that the paper does not have."""
    found = grid(record["rows"]) if record["rows"] else None
    text = _wide(found, record["rows"]) if found else _long(record["rows"]) if record["rows"] else ""
    if any(not row["certain"] for row in record["rows"]):
        text += f"\n? {UNCERTAIN}.\n"
    if record["beyond"]:
        text += ("\n" if text else "") + "Beyond the paper:\n\n" + _alone(record["beyond"])
    return text


def _alone(rows: Sequence[ComparisonRow]) -> str:
    """Numbers of ours: a line for each cell with all its metrics, where cells have several."""
    found = gathered(rows, short)
    if found is None:
        return _table(("Cell", "Metric", OURS), [(short(row), words(row["metric"]), measured(row)) for row in rows], 2)
    head = [f"{column(metric)}, ours [95 % interval], n" for metric in found.metrics]
    lines = [(*line.names, *("" if row is None else measured(row) for row in line.rows)) for line in found.lines]
    return _table((*found.columns, *head), lines, 1)


def _long(rows: Sequence[ComparisonRow]) -> str:
    """A line for each number."""
    heads = {"rate": "Difference in points", "distance": "Difference"}
    units = {row["unit"] for row in rows}
    difference = heads[units.pop()] if len(units) == 1 else "Difference, of rates in points"
    head = ("Cell", "Metric", "Paper", OURS, f"{difference} [95 % interval]", "Reason")
    lines = [
        (short(r), words(r["metric"]), _printed(r), measured(r), f"{points(r)} {points_range(r)}".strip(), r["reason"])
        for r in rows
    ]
    return _table(head, lines, 2)


def _wide(found: PrintedTable, rows: Sequence[ComparisonRow]) -> str:
    """A line for each line of the printed table."""
    head = [*map(column, found.columns)]
    for metric in found.metrics:
        head += [f"{metric_title(rows, metric)}: paper", f"{OURS[0].lower()}{OURS[1:]}"]
    lines = []
    for line in found.lines:
        fields = [alone(name, text) for name, text in zip(found.columns, line.names, strict=True)]
        for row in line.rows:
            fields += ["", ""] if row is None else [_printed(row), measured(row)]
        why = [f"{reason} ({words(names)})" if names else reason for reason, names in reasons(line.rows)]
        lines.append((*fields, "; ".join(why)))
    return _table((*head, "Reason"), lines, len(found.columns))


def _printed(row: ComparisonRow) -> str:
    found = raw(row)
    return printed(row) + ("" if row["certain"] else " ?") + (f" (source: {found})" if found else "")


def _table(head: Sequence[str], lines: Sequence[Sequence[str]], left: int) -> str:
    rule = ["---" if at < left or name == "Reason" else "---:" for at, name in enumerate(head)]
    return "".join("| " + " | ".join(map(_md, line)) + " |\n" for line in (head, rule, *lines))


def _md(text: str) -> str:
    plain = re.sub(r"[ \t\r\n]+", " ", text).replace("&", "&amp;").replace("<", "&lt;")
    # An underscore inside a word and a bracket that opens no link are text already.
    return re.sub(r"[\\|`*]|(?<!\w)_|_(?!\w)|\](?=\()", r"\\\g<0>", plain)
