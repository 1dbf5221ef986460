"""Folder of parts: Parquet files of one batch each, beside the identity that names the folder."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from vauban.core.errors import ContractError
from vauban.store import files
from vauban.store.ledger import write_noted_json
from vauban.store.part import part_file, read_part, write_part

log = logging.getLogger("vauban.store")
_STAMP = b"vauban_stamp"


@dataclass(frozen=True)
class PartFolder:
    """`path/00000.parquet`, ...: the rows of one batch each; `identity.json`; `failures.jsonl`;
    `digests.jsonl`; `lock`.

    Attributes:
        path: The folder, whose name is the hash of the identity.
        schema: The columns of every part; `id` is among them.
    """

    path: Path
    schema: pa.Schema

    def prepare(self, identity: Mapping[str, Any]) -> None:
        """Write `identity.json` unless it is there, and remove temporary files of dead writers."""
        files.check_unlinked(self.path.parent, self.path)
        files.clean_leftovers(self.path)
        if not (self.path / "identity.json").exists():
            write_noted_json(self.path, "identity.json", dict(identity))

    @contextlib.contextmanager
    def lock(self, index: int) -> Iterator[bool]:
        """Whether this process now owns the part `index`."""
        with files.lock_part(self.path / "lock", index) as mine:
            yield mine

    def read(self, index: int, stamp: str = "") -> pa.Table | None:
        """The part `index`; None where it is absent, damaged, or was written with another stamp."""
        path = part_file(self.path, index)
        if not path.exists():
            return None
        try:
            rows = read_part(path)
        except ContractError as error:
            log.warning("%s; it is made again", error)
            return None
        facts = rows.schema.metadata or {}
        fits = rows.schema.equals(self.schema) and facts.get(_STAMP, b"").decode() == stamp
        return rows if fits else None

    def holds(self, index: int, ids: Sequence[int], stamp: str = "") -> bool:
        """Whether the part `index` is stored with these samples and this stamp."""
        rows = self.read(index, stamp)
        return rows is not None and rows["id"].to_pylist() == list(ids)

    def write(self, index: int, columns: Mapping[str, Any], stamp: str = "") -> pa.Table:
        """Store a part under its final name, whole or not at all.

        Args:
            index: Number of the part.
            columns: One value per sample for every column of the schema.
            stamp: What `read` must be given to see the part.
        """
        rows = pa.table(dict(columns), schema=self.schema.with_metadata({_STAMP: stamp.encode()}))
        write_part(part_file(self.path, index), rows, self.path)
        return rows

    def fail(self, index: int, error: str, traceback: str = "") -> None:
        """Record that the part `index` failed."""
        files.append_line(self.path / "failures.jsonl", {"index": index, "error": error, "traceback": traceback})
