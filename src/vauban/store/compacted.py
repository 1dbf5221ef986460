"""Compacted rows of a finished cell: its parts one after the other in one file, in row groups that are read alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vauban.store.part import file_metadata, unreadable
from vauban.store.stored_part import Place, StoredBatch, StoredPart, stored_part

NAME = "rows.parquet"
"""The file, in the folder of its cell."""
GROUP_ROWS, GROUP_BYTES = 2**13, 2**26
"""Of a row group: it is closed by the first batch that reaches one of them, so that a picture is read for little."""
_BATCHES = b"vauban_batches"


@dataclass(frozen=True)
class Compacted:
    """The batches of a compacted file, as its footer tells them.

    Attributes:
        path: The file.
        groups: The batches of each row group, in order.
        stamp: When it was written, and its number in the file system: another file under this name is another one.
    """

    path: Path
    groups: tuple[tuple[StoredBatch, ...], ...]
    stamp: tuple[int, int]

    @cached_property
    def batches(self) -> dict[int, tuple[int, int]]:
        """Row group and first row in it of each batch, by its index."""
        places = {}
        for number, group in enumerate(self.groups):
            first = 0
            for batch in group:
                places[batch.index] = number, first
                first += batch.rows
        return places

    def group(self, number: int, metrics: Sequence[str], wanted: Callable[[str], bool] | None = None) -> StoredPart:
        """All batches of a row group as one. Raises ContractError where it is damaged."""
        place = Place(self.path, number)
        part = stored_part(place, metrics, wanted, self.groups[number])
        if len(part.rows) != sum(batch.rows for batch in part.batches):
            raise unreadable(self.path, f"{len(part.rows)} rows in row group {number}, other than its batches have")
        return part

    def batch(self, index: int, metrics: Sequence[str]) -> StoredPart:
        """One batch. Raises ContractError where its row group is damaged."""
        number, first = self.batches[index]
        whole = _last_read(self, number, tuple(metrics))
        own = next(batch for batch in whole.batches if batch.index == index)
        return StoredPart((own,), whole.rows.slice(first, own.rows), Place(self.path, number, first))


@lru_cache(maxsize=1)
def _last_read(compacted: Compacted, number: int, metrics: tuple[str, ...]) -> StoredPart:
    """A whole row group, kept for the next batch of it: a run that is resumed asks for one after the other."""
    return compacted.group(number, metrics)


def open_compacted(path: Path) -> Compacted | None:
    """What a compacted file holds; None where there is none. Raises ContractError where it is damaged."""
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return None
    return _opened(path, facts.st_mtime_ns, facts.st_ino)


@lru_cache(maxsize=256)
def _opened(path: Path, written: int, number: int) -> Compacted:
    facts = file_metadata(path)
    try:
        told = json.loads(facts.get(_BATCHES, b""))
        groups = tuple(tuple(StoredBatch(int(i), int(n), float(s)) for i, n, s in group) for group in told)
    except (ValueError, TypeError) as error:
        raise unreadable(path, "no list of its batches") from error
    return Compacted(path, groups, (written, number))


def in_order(own: Mapping[int, Path], compacted: Compacted | None) -> list[tuple[int, int | None]]:
    """What is read of a cell, in the order of the batches.

    A row group that holds older rows of a part file, or batches on both sides of one, is read batch by batch.

    Args:
        own: The part files by the index of their batch.
        compacted: The compacted file, if there is one.

    Returns:
        The first batch of each piece, and the row group where all of one is read.
    """
    pieces: list[tuple[int, int | None]] = [(index, None) for index in own]
    for number, group in enumerate(() if compacted is None else compacted.groups):
        first, last = group[0].index, group[-1].index
        if any(first <= index <= last for index in own):
            pieces += [(batch.index, None) for batch in group if batch.index not in own]
        else:
            pieces.append((first, number))
    return sorted(pieces, key=lambda piece: piece[0])


def grouped(batches: Sequence[StoredBatch], size: int) -> list[tuple[StoredBatch, ...]]:
    """Batches in the row groups in which they are written.

    Args:
        batches: The batches, in order.
        size: Bytes that all of them take on disk.
    """
    a_row = max(1, size // max(1, sum(batch.rows for batch in batches)))
    full = min(GROUP_ROWS, max(1, GROUP_BYTES // a_row))
    groups: list[list[StoredBatch]] = [[]]
    for batch in batches:
        if sum(own.rows for own in groups[-1]) >= full:
            groups.append([])
        groups[-1].append(batch)
    return [tuple(group) for group in groups if group]


def write_compacted(
    path: Path, schema: pa.Schema, groups: Sequence[Sequence[StoredBatch]], parts: Iterator[StoredPart]
) -> None:
    """Fill a file with the batches of a cell.

    Args:
        path: The file, a temporary one.
        schema: The columns of the cell, with the metadata that its parts share.
        groups: The batches of each row group.
        parts: The same batches, as they are read.
    """
    told = json.dumps([[[batch.index, batch.rows, batch.seconds] for batch in group] for group in groups])
    whole = schema.with_metadata({**(schema.metadata or {}), _BATCHES: told.encode()})
    with pq.ParquetWriter(path, whole, compression="zstd", write_page_checksum=True) as writer:
        held: list[StoredPart] = []
        for group in groups:
            while sum(len(part.batches) for part in held) < len(group):
                held.append(next(parts))
            rows = pa.concat_tables([part.rows for part in held]).replace_schema_metadata(whole.metadata)
            writer.write_table(rows, row_group_size=max(1, len(rows)))
            held = []
