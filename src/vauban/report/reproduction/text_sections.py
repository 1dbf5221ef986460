"""Tables of a reproduction as fields of text, which Markdown and LaTeX show alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vauban.report.reproduction.metric_table import MetricTable, reasons_of_line, table_by_key, table_by_name
from vauban.report.reproduction.number_text import (
    difference_interval,
    difference_text,
    our_number,
    printed_number,
    source_quote,
    training_spread,
)
from vauban.report.reproduction.row_labels import column_head, column_value, metric_head, row_label, spaced
from vauban.statistics.compare import ComparisonRow

OURS = "Ours [95 % interval], n"
UNCERTAIN = "damaged in the source: shown, not scored"


@dataclass(frozen=True)
class TextSection:
    """One table.

    Attributes:
        head: The heads of its columns.
        lines: Its fields.
        left: How many of its first columns are aligned left; a column of reasons always is.
        title: What stands above it; "" for the paper's numbers.
        caption: A sentence below the title, or "".
        note: A sentence below the table, or "".
    """

    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    left: int
    title: str = ""
    caption: str = ""
    note: str = ""

    def aligned_left(self, at: int) -> bool:
        """Whether the column at a position is aligned left."""
        return at < self.left or self.head[at] == "Reason"


def sections(record: Mapping[str, Any]) -> Iterator[TextSection]:
    """The paper's numbers beside ours, its claims, tables in words, then the cells that the paper does not have.

    Args:
        record: The content of a `reproduction.json`.
    """
    rows = record["rows"]
    if rows:
        table = table_by_key(rows)
        yield _line_per_cell(table, rows) if table else _line_per_number(rows)
    if record.get("claims"):
        yield _claims(record["claims"])
    for shown in record.get("tables", []):
        lines = tuple(tuple(line) for line in shown["rows"])
        yield TextSection(tuple(shown["columns"]), lines, len(shown["columns"]), f"{shown['title']}:", shown["caption"])
    if record["beyond"]:
        yield _ours_alone(record["beyond"])


def _claims(claims: Sequence[Mapping[str, Any]]) -> TextSection:
    """A line for each claim: the answer, and what the numbers say where the networks stand in for the paper's."""
    lines = tuple(
        (f"{claim['text']} ({claim['source']})", claim["answer"], claim["seen"], "; ".join(claim["comparisons"]))
        for claim in claims
    )
    return TextSection(("Claim", "Answer", "Seen here", "Rests on"), lines, 4, "Claims:")


def _ours_alone(rows: Sequence[ComparisonRow]) -> TextSection:
    """Numbers of ours: a line for each cell with all its metrics, where cells have several."""
    table, title = table_by_name(rows, row_label), "Beyond the paper:"
    if table is None:
        lines = [(row_label(row), spaced(row["metric"]), _ours(row)) for row in rows]
        return TextSection(("Cell", "Metric", OURS), tuple(lines), 2, title)
    head = [f"{column_head(metric)}, ours [95 % interval], n" for metric in table.metrics]
    wide = [(*line.names, *("" if row is None else _ours(row) for row in line.rows)) for line in table.lines]
    return TextSection((*table.columns, *head), tuple(wide), 1, title)


def _line_per_number(rows: Sequence[ComparisonRow]) -> TextSection:
    heads = {"rate": "Difference in points", "distance": "Difference"}
    units = {row["unit"] for row in rows}
    difference = heads[units.pop()] if len(units) == 1 else "Difference, of rates in points"
    head = ("Cell", "Metric", "Paper", OURS, f"{difference} [95 % interval]", "Reason")
    lines = tuple(
        (
            row_label(row),
            spaced(row["metric"]),
            _paper(row),
            _ours(row),
            f"{difference_text(row)} {difference_interval(row)}".strip(),
            row["reason"],
        )
        for row in rows
    )
    return TextSection(head, lines, 2, note=_note(rows))


def _line_per_cell(table: MetricTable, rows: Sequence[ComparisonRow]) -> TextSection:
    head = [*map(column_head, table.columns)]
    for metric in table.metrics:
        head += [f"{metric_head(rows, metric)}: paper", f"{OURS[0].lower()}{OURS[1:]}"]
    lines = []
    for line in table.lines:
        fields = [column_value(name, text) for name, text in zip(table.columns, line.names, strict=True)]
        for row in line.rows:
            fields += ["", ""] if row is None else [_paper(row), _ours(row)]
        why = [f"{reason} ({spaced(names)})" if names else reason for reason, names in reasons_of_line(line.rows)]
        lines.append((*fields, "; ".join(why)))
    return TextSection((*head, "Reason"), tuple(lines), len(table.columns), note=_note(rows))


def _note(rows: Sequence[ComparisonRow]) -> str:
    return "" if all(row["certain"] for row in rows) else f"? {UNCERTAIN}."


def _ours(row: ComparisonRow) -> str:
    """Our number, and how far the trainings that it is a mean of lie apart."""
    spread = training_spread(row)
    return our_number(row) + (f"; {spread}" if spread else "")


def _paper(row: ComparisonRow) -> str:
    quote = source_quote(row)
    return printed_number(row) + ("" if row["certain"] else " ?") + (f" (source: {quote})" if quote else "")
