"""Markdown tables of a reproduction, as GitHub reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vauban.report.reproduction.metric_table import MetricTable, reasons_of_line, table_by_key, table_by_name
from vauban.report.reproduction.number_text import (
    difference_interval,
    difference_text,
    our_number,
    printed_number,
    source_quote,
)
from vauban.report.reproduction.row_labels import column_head, column_value, metric_head, row_label, spaced
from vauban.report.shared.format import markdown_text
from vauban.statistics.compare import ComparisonRow

OURS = "Ours [95 % interval], n"
UNCERTAIN = "damaged in the source: shown, not scored"


def markdown_tables(record: Mapping[str, Any]) -> str:
    """The paper's numbers beside ours, its claims, tables in words, then the cells that the paper does not have.

    Args:
        record: The content of a `reproduction.json`.
    """
    table = table_by_key(record["rows"]) if record["rows"] else None
    text = (
        _line_per_cell(table, record["rows"]) if table else _line_per_number(record["rows"]) if record["rows"] else ""
    )
    if any(not row["certain"] for row in record["rows"]):
        text += f"\n? {UNCERTAIN}.\n"
    if record.get("claims"):
        text += ("\n" if text else "") + "Claims:\n\n" + _claims(record["claims"])
    for table in record.get("tables", []):
        caption = f"{table['caption']}\n\n" if table["caption"] else ""
        text += ("\n" if text else "") + f"{table['title']}:\n\n{caption}"
        text += _markdown(table["columns"], table["rows"], len(table["columns"]))
    if record["beyond"]:
        text += ("\n" if text else "") + "Beyond the paper:\n\n" + _ours_alone(record["beyond"])
    return text


def _claims(claims: Sequence[Mapping[str, Any]]) -> str:
    """A line for each claim: the answer, and what the numbers say where the networks stand in for the paper's."""
    lines = [
        (f"{claim['text']} ({claim['source']})", claim["answer"], claim["seen"], "; ".join(claim["comparisons"]))
        for claim in claims
    ]
    return _markdown(("Claim", "Answer", "Seen here", "Rests on"), lines, 4)


def _ours_alone(rows: Sequence[ComparisonRow]) -> str:
    """Numbers of ours: a line for each cell with all its metrics, where cells have several."""
    table = table_by_name(rows, row_label)
    if table is None:
        lines = [(row_label(row), spaced(row["metric"]), our_number(row)) for row in rows]
        return _markdown(("Cell", "Metric", OURS), lines, 2)
    head = [f"{column_head(metric)}, ours [95 % interval], n" for metric in table.metrics]
    wide = [(*line.names, *("" if row is None else our_number(row) for row in line.rows)) for line in table.lines]
    return _markdown((*table.columns, *head), wide, 1)


def _line_per_number(rows: Sequence[ComparisonRow]) -> str:
    heads = {"rate": "Difference in points", "distance": "Difference"}
    units = {row["unit"] for row in rows}
    difference = heads[units.pop()] if len(units) == 1 else "Difference, of rates in points"
    head = ("Cell", "Metric", "Paper", OURS, f"{difference} [95 % interval]", "Reason")
    lines = [
        (
            row_label(row),
            spaced(row["metric"]),
            _paper(row),
            our_number(row),
            f"{difference_text(row)} {difference_interval(row)}".strip(),
            row["reason"],
        )
        for row in rows
    ]
    return _markdown(head, lines, 2)


def _line_per_cell(table: MetricTable, rows: Sequence[ComparisonRow]) -> str:
    head = [*map(column_head, table.columns)]
    for metric in table.metrics:
        head += [f"{metric_head(rows, metric)}: paper", f"{OURS[0].lower()}{OURS[1:]}"]
    lines = []
    for line in table.lines:
        fields = [column_value(name, text) for name, text in zip(table.columns, line.names, strict=True)]
        for row in line.rows:
            fields += ["", ""] if row is None else [_paper(row), our_number(row)]
        why = [f"{reason} ({spaced(names)})" if names else reason for reason, names in reasons_of_line(line.rows)]
        lines.append((*fields, "; ".join(why)))
    return _markdown((*head, "Reason"), lines, len(table.columns))


def _paper(row: ComparisonRow) -> str:
    quote = source_quote(row)
    return printed_number(row) + ("" if row["certain"] else " ?") + (f" (source: {quote})" if quote else "")


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]], left: int) -> str:
    """A table whose first `left` columns and reasons are aligned left, the others right."""
    rule = ["---" if at < left or name == "Reason" else "---:" for at, name in enumerate(head)]
    return "".join("| " + " | ".join(map(markdown_text, line)) + " |\n" for line in (head, rule, *lines))
