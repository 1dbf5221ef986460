"""Part of a cell as read: its rows in the columns of the cell, those that are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from vauban.store.part import read_part, unreadable
from vauban.store.schema import PICTURES, completed, schema_with


@dataclass(frozen=True)
class StoredPart:
    """One readable batch.

    Attributes:
        index: Its place among the batches of the cell, from 0.
        rows: One row per sample.
        seconds: The time it took.
    """

    index: int
    rows: pa.Table
    seconds: float


def not_a_picture(name: str) -> bool:
    """Whether a column holds no pictures."""
    return name not in PICTURES


def stored_part(path: Path, metrics: Sequence[str], wanted: Callable[[str], bool] | None = None) -> StoredPart:
    """The part of a file.

    Args:
        path: The file.
        metrics: The metric columns that the cell declares.
        wanted: From the name of a column to whether it is read; None: all are.

    Raises:
        ContractError: The file is absent, damaged, or has columns of another schema.
    """
    schema = pa.schema([column for column in schema_with(metrics) if wanted is None or wanted(column.name)])
    rows = completed(read_part(path, wanted), metrics)
    if set(schema.names) == {name for name in rows.schema.names if wanted is None or wanted(name)}:
        rows = rows.select(schema.names)
    if not rows.schema.equals(schema):
        raise unreadable(path, "columns of another schema")
    facts = rows.schema.metadata or {}
    try:
        return StoredPart(int(path.stem), rows, float(facts.get(b"vauban_seconds", b"0")))
    except ValueError as error:
        raise unreadable(path, str(error)) from error
