"""Part of a cell as read: the rows of one batch or of several, in the columns of the cell, those that are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from vauban.store.part import read_part, unreadable
from vauban.store.schema import PICTURES, completed, schema_with


@dataclass(frozen=True)
class StoredBatch:
    """One stored batch.

    Attributes:
        index: Its place among the batches of the cell, from 0.
        rows: Its number of rows.
        seconds: The time it took.
    """

    index: int
    rows: int
    seconds: float


@dataclass(frozen=True)
class Place:
    """Where rows lie.

    Attributes:
        path: The file.
        group: The row group of it; None: all of the file.
        first: The first row.
    """

    path: Path
    group: int | None = None
    first: int = 0


@dataclass(frozen=True)
class StoredPart:
    """Readable batches one after the other: that of a part file, or those of a row group of a compacted file.

    Attributes:
        batches: The batches, in the order of the rows.
        rows: One row per sample.
        place: Where the rows lie.
    """

    batches: tuple[StoredBatch, ...]
    rows: pa.Table
    place: Place

    @property
    def index(self) -> int:
        """The place of the first batch among those of the cell."""
        return self.batches[0].index

    @property
    def seconds(self) -> float:
        """The time that the batches took."""
        return sum(batch.seconds for batch in self.batches)


def not_a_picture(name: str) -> bool:
    """Whether a column holds no pictures."""
    return name not in PICTURES


def stored_part(
    place: Place,
    metrics: Sequence[str],
    wanted: Callable[[str], bool] | None = None,
    batches: tuple[StoredBatch, ...] | None = None,
) -> StoredPart:
    """The rows that lie at a place.

    Args:
        place: The file, or a row group of it.
        metrics: The metric columns that the cell declares.
        wanted: From the name of a column to whether it is read; None: all are.
        batches: The batches that they are of; None: one, which the name and the footer of the file tell.

    Raises:
        ContractError: The file is absent, damaged, or has columns of another schema.
    """
    path = place.path
    schema = pa.schema([column for column in schema_with(metrics) if wanted is None or wanted(column.name)])
    rows = completed(read_part(path, wanted, place.group), metrics)
    if set(schema.names) == {name for name in rows.schema.names if wanted is None or wanted(name)}:
        rows = rows.select(schema.names)
    if not rows.schema.equals(schema):
        raise unreadable(path, "columns of another schema")
    if batches is not None:
        return StoredPart(batches, rows, place)
    facts = rows.schema.metadata or {}
    try:
        own = StoredBatch(int(path.stem), len(rows), float(facts.get(b"vauban_seconds", b"0")))
        return StoredPart((own,), rows, place)
    except ValueError as error:
        raise unreadable(path, str(error)) from error
