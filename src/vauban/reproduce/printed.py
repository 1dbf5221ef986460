"""The printed values: packaged CSV files, one row per number, found by the columns that a cell's key names."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from vauban.core.errors import ContractError
from vauban.reproduce.declarations import METRICS, TableCell, of_network, of_pair
from vauban.reproduce.experiment import Experiment

COLUMNS = ("metric", "value", "certain", "note")


@dataclass(frozen=True)
class Printed:
    """One row of a packaged CSV. value: None where the print is not readable; certain: the reading is beyond doubt."""

    columns: Mapping[str, str]
    value: float | None
    certain: bool
    raw: str
    note: str

    def stands_beside(self, key: Mapping[str, str]) -> bool:
        """Whether every column of the key has the same text."""
        return all(self.columns.get(name) == text for name, text in key.items())


def rows_of(name: str) -> list[dict[str, str]]:
    """The rows of a packaged CSV, or of a file, as text by column. Raises ContractError for a file that is absent."""
    file = Path(name) if Path(name).is_file() else files("vauban.reproduce") / "papers" / "printed" / name
    if not file.is_file():
        raise ContractError(
            f"expected the printed values {name} as a file or in vauban/reproduce/papers/printed, found none"
        )
    return parsed(file.read_text(encoding="utf-8"), name)


def parsed(text: str, name: str) -> list[dict[str, str]]:
    """The rows of a CSV text as text by column. Raises ContractError where a column is missing."""
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or set(COLUMNS) - set(rows[0]):
        raise ContractError(
            f"expected the columns {', '.join(COLUMNS)} in {name}, got {', '.join(rows[0] if rows else ())}"
        )
    return rows


def printed(name: str | None) -> list[Printed]:
    """The printed values of a packaged CSV, none for None."""
    return [
        Printed(
            r, float(r["value"]) if r["value"] else None, r["certain"] == "yes", r.get("raw") or r["value"], r["note"]
        )
        for r in ([] if name is None else rows_of(name))
    ]


def beside(cell: TableCell, rows: Sequence[Printed]) -> Printed | None:
    """The printed row of a cell; None for a cell that the paper does not have (no key).

    Raises ContractError for a metric that does not exist or is not the row's, and unless exactly one row has all of the
    key's columns.
    """
    if cell.metric not in METRICS and not of_network(cell.metric) and not of_pair(cell.metric):
        raise ContractError(
            f"expected a metric among {', '.join(METRICS)}, one of a network or one of a pair, got {cell.metric!r}; "
            "see vauban list"
        )
    if not cell.key:
        if not cell.label:
            raise ContractError("expected a label for a cell that stands beside no printed row, got none")
        return None
    beside_it = [row for row in rows if row.stands_beside(cell.key)]
    if len(beside_it) != 1:
        raise ContractError(f"expected one printed row for the key {dict(cell.key)}, got {len(beside_it)}")
    if beside_it[0].columns["metric"] != cell.metric:
        raise ContractError(
            f"expected the metric {beside_it[0].columns['metric']} for the key {dict(cell.key)}, got {cell.metric}"
        )
    return beside_it[0]


def unmatched(experiment: Experiment, cells: Sequence[TableCell]) -> list[dict[str, str]]:
    """The printed rows that no cell stands beside."""
    rows = printed(experiment.printed)
    matched = [beside(cell, rows) for cell in cells]
    return [dict(row.columns) for row in rows if not any(row is taken for taken in matched)]
