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
SMALL = 2**22
"""Bytes of a file that one thread reads sooner than several."""


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


def read_part(path: Path, wanted: Callable[[str], bool] | None = None, group: int | None = None) -> pa.Table:
    """The rows of a part with their metadata.

    Args:
        path: The file.
        wanted: From the name of a column to whether it is read; None: all are. Others cost nothing.
        group: The row group that is read; None: all are.

    Raises:
        ContractError: The file is absent or damaged, in one line.
    """
    if path.is_symlink():
        raise unreadable(path, "a symbolic link")
    try:
        many = path.stat().st_size > SMALL  # threads and read-ahead take longer than a small file itself
        with pq.ParquetFile(path, page_checksum_verification=True, memory_map=False, pre_buffer=many) as file:
            names = [name for name in file.schema_arrow.names if wanted is None or wanted(name)]
            _check_size(path, file, set(names), group)
            if group is None:
                return file.read(names, use_threads=many)
            return file.read_row_group(group, names, use_threads=many)
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise unreadable(path, str(error)) from error


def _check_size(path: Path, file: pq.ParquetFile, names: set[str], group: int | None) -> None:
    """Raises ContractError where the footer announces more than a part holds, before it is unpacked."""
    facts = file.metadata
    groups = [facts.row_group(i) for i in (range(facts.num_row_groups) if group is None else [group])]
    rows = sum(one.num_rows for one in groups)
    columns = [one.column(i) for one in groups for i in range(one.num_columns)]
    size = sum(column.total_uncompressed_size for column in columns if column.path_in_schema in names)
    if size > MOST_BYTES or rows > MOST_ROWS:
        raise unreadable(path, f"{rows:,} rows of {size:,} bytes, more than {MOST_ROWS:,} or {MOST_BYTES:,}")


def file_metadata(path: Path) -> dict[bytes, bytes]:
    """What the footer of a file says beside its columns. Raises ContractError where the file is absent or damaged."""
    if path.is_symlink():
        raise unreadable(path, "a symbolic link")
    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            return dict(file.schema_arrow.metadata or {})
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, str(error)) from error


def filled(path: Path, columns: Sequence[str], group: int | None = None) -> bool | None:
    """Whether every row has a value in each of some columns, by the footer alone.

    Args:
        path: The file.
        columns: The names of the columns.
        group: The row group that is looked at; None: all are.

    Returns:
        True: every row has all of them. False: none has, a column being empty. None: some may, or the footer does not say.

    Raises:
        ContractError: The file is absent or damaged, in one line.
    """
    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            facts, names = file.metadata, file.schema_arrow.names
            chosen = [facts.row_group(i) for i in (range(facts.num_row_groups) if group is None else [group])]
            rows, nulls = sum(one.num_rows for one in chosen), dict.fromkeys(columns, 0)
            for one in chosen:
                for name in columns:
                    told = one.column(names.index(name)).statistics
                    if told is None or not told.has_null_count:
                        return None
                    nulls[name] += told.null_count
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise unreadable(path, str(error)) from error
    if not any(nulls.values()):
        return True
    return False if max(nulls.values()) == rows else None


def unreadable(path: Path, reason: str) -> ContractError:
    """The error for a file that is no part, to be raised."""
    first = reason.splitlines()[0][:120] if reason else "nothing readable"
    return ContractError(f"{path}: expected a Parquet part, got {first}")
