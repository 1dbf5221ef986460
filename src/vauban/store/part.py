"""Parquet file of one finished batch: whole or absent after a kill, its pages checked when it is read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vauban.core.errors import ContractError
from vauban.store import files


def part_file(folder: Path, index: int) -> Path:
    """File of the part `index` of a folder: `folder/00007.parquet`."""
    return folder / f"{index:05d}.parquet"


def write_part(path: Path, rows: pa.Table) -> None:
    """Store a part under its final name, whole or not at all; an older one is replaced.

    Args:
        path: The file, as `part_file` names it.
        rows: One row per sample; the metadata of its schema is stored with it.
    """
    files.write_atomic(
        path, lambda temporary: pq.write_table(rows, temporary, compression="zstd", write_page_checksum=True)
    )


def read_part(path: Path) -> pa.Table:
    """The rows of a part with their metadata.

    Raises:
        ContractError: The file is absent or damaged, in one line.
    """
    try:
        return pq.read_table(path, page_checksum_verification=True, memory_map=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, str(error)) from error


def unreadable(path: Path, reason: str) -> ContractError:
    """The error for a file that is no part, to be raised."""
    first = reason.splitlines()[0][:120] if reason else "nothing readable"
    return ContractError(f"{path}: expected a Parquet part, got {first}")
