"""Names of metrics, columns and comparison rows, as a reader sees them."""

from __future__ import annotations

from collections.abc import Sequence

from vauban.report.reproduction.key_columns import constant, key_columns, qualifies_metrics
from vauban.report.reproduction.number_text import our_number, printed_number
from vauban.statistics.compare import ComparisonRow


def spaced(name: str) -> str:
    """The name of a column or metric with spaces instead of underscores."""
    return name.replace("_", " ")


def column_name(name: str) -> str:
    """The name of a column with spaces, without the unit that its values carry."""
    return spaced(name.removesuffix("_255"))


def column_head(name: str) -> str:
    """The head of a column: its name with a capital."""
    return column_name(name)[:1].upper() + column_name(name)[1:]


def column_value(name: str, value: str) -> str:
    """A value of a column by itself; one in steps of 1/255 as a fraction."""
    return f"{value}/255" if name.endswith("_255") and value else value


def column_with_value(name: str, value: str) -> str:
    """A column with its value: `network: IncV4`, `delta 4/255`."""
    separator = " " if name.endswith("_255") else ": "
    return f"{column_name(name)}{separator}{column_value(name, value)}"


def metric_head(rows: Sequence[ComparisonRow], metric: str) -> str:
    """A metric with the columns that qualify it (a threshold) and all their values."""
    keys = [row["key"] for row in rows if row["metric"] == metric]
    qualifying = [name for name in key_columns(rows) if qualifies_metrics(rows, name)]
    values = {name: dict.fromkeys(key.get(name, "") for key in keys) for name in qualifying}
    more = [column_with_value(name, ", ".join(given)) for name, given in values.items() if any(given)]
    return ", ".join((column_head(metric), *more))


def shared_key(rows: Sequence[ComparisonRow]) -> dict[str, str]:
    """The parts of the keys that are the same and not empty in every row, under their own names."""
    return {name: rows[0]["key"][name] for name in key_columns(rows) if constant(rows, name) and rows[0]["key"][name]}


def row_label(row: ComparisonRow) -> str:
    """The label without the metric, which stands beside it; the values of the key where there is no label."""
    label = row["label"].replace(f": {spaced(row['metric'])}", "").replace(f": {row['metric']}", "")
    if label.strip() or row["label"].strip():
        return label if label.strip() else row["label"]
    return " · ".join(column_value(name, row["key"][name]) for name in key_columns([row]) if row["key"][name])


def row_description(row: ComparisonRow) -> str:
    """A row as a sentence, for those who cannot see its dots."""
    text = f"{row_label(row)}, {spaced(row['metric'])}: "
    if row["printed"] is not None:
        text += f"paper {printed_number(row)}{'' if row['certain'] else ' (uncertain)'}, "
    return text + f"ours {our_number(row)}"
