"""Parquet file of one finished batch: whole or absent after a kill, its pages checked when it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vauban.core.errors import ContractError
from vauban.store.ledger import write_noted


def part_file(folder: Path, index: int) -> Path:
    """File of the part `index` of a folder: `folder/00007.parquet`."""
    return folder / f"{index:05d}.parquet"


MOST_BYTES, MOST_ROWS = 2**31, 2**20
"""Of a part, unpacked: a batch of thousands of images with their pictures takes a tenth of that."""


def write_part(path: Path, rows: pa.Table, folder: Path) -> None:
    """Store a part under its final name, whole or not at all; an older one is replaced.

    Args:
        path: The file, as `part_file` names it.
        folder: The folder above it in whose ledger its digest is noted.
        rows: One row per sample; the metadata of its schema is stored with it.
    """
    name = path.relative_to(folder).as_posix()
    write_noted(
        folder, name, lambda temporary: pq.write_table(rows, temporary, compression="zstd", write_page_checksum=True)
    )


def read_part(path: Path, wanted: Callable[[str], bool] | None = None) -> pa.Table:
    """The rows of a part with their metadata.

    Args:
        path: The file.
        wanted: From the name of a column to whether it is read; None: all are. Others cost nothing.

    Raises:
        ContractError: The file is absent or damaged, in one line.
    """
    if path.is_symlink():
        raise unreadable(path, "a symbolic link")
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, memory_map=False) as file:
            names = [name for name in file.schema_arrow.names if wanted is None or wanted(name)]
            _check_size(path, file, set(names))
            return file.read(names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, str(error)) from error


def _check_size(path: Path, file: pq.ParquetFile, names: set[str]) -> None:
    """Raises ContractError where the footer announces more than a part holds, before it is unpacked."""
    facts = file.metadata
    groups = [facts.row_group(i) for i in range(facts.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    size = sum(column.total_uncompressed_size for column in columns if column.path_in_schema in names)
    if size > MOST_BYTES or facts.num_rows > MOST_ROWS:
        raise unreadable(path, f"{facts.num_rows:,} rows of {size:,} bytes, more than {MOST_ROWS:,} or {MOST_BYTES:,}")


def null_counts(path: Path, columns: Sequence[str]) -> list[int]:
    """How many values each of some columns lacks, by the footer alone; [] where it does not say.

    Raises:
        ContractError: The file is absent or damaged, in one line.
    """
    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            groups, names = file.metadata, file.schema_arrow.names
            counts = dict.fromkeys(columns, 0)
            for group in range(groups.num_row_groups):
                for name in columns:
                    facts = groups.row_group(group).column(names.index(name)).statistics
                    if facts is None or not facts.has_null_count:
                        return []
                    counts[name] += facts.null_count
            return list(counts.values())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, str(error)) from error


def unreadable(path: Path, reason: str) -> ContractError:
    """The error for a file that is no part, to be raised."""
    first = reason.splitlines()[0][:120] if reason else "nothing readable"
    return ContractError(f"{path}: expected a Parquet part, got {first}")
