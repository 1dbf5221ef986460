"""Parquet parts in a folder that its content names: a kill loses at most the batch in flight."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from vauban.core.errors import ContractError, VaubanError
from vauban.store import files
from vauban.store.part import part_file, read_part, write_part

log = logging.getLogger("vauban")

CRAFTED = pa.schema(
    {
        "id": pa.int64(),
        "y": pa.int64(),
        "target": pa.int64(),
        "image": pa.binary(),
        "linf": pa.float64(),
        "l2": pa.float64(),
        "forwards": pa.int64(),
        "backwards": pa.int64(),
        "seconds": pa.float64(),
    }
)
JUDGED = pa.schema(
    {
        "id": pa.int64(),
        "y": pa.int64(),
        "target": pa.int64(),
        "label": pa.int64(),
        "p_target": pa.float64(),
        "p_label": pa.float64(),
        "linf": pa.float64(),
        "l2": pa.float64(),
        "seconds": pa.float64(),
    }
)
MEASURED = pa.schema({"id": pa.int64(), "value": pa.float64(), "seconds": pa.float64()})
_STAMP = b"vauban_stamp"


@dataclass(frozen=True)
class Parts:
    """`path/00000.parquet`, ...: the rows of one batch each, beside `identity.json`, whose hash is the folder's name."""

    path: Path
    schema: pa.Schema

    @contextlib.contextmanager
    def open(self, identity: Mapping[str, Any]) -> Iterator[None]:
        """Own the folder while parts are written. Raises VaubanError where another process does."""
        with files.lock(self.path / "lock") as mine:
            if not mine:
                raise VaubanError(f"{self.path}: another process is at work here; wait for it, or choose another --out")
            files.clean_leftovers(self.path)
            if not (self.path / "identity.json").exists():
                files.write_json(self.path / "identity.json", dict(identity))
            yield

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

    def write(self, index: int, columns: Mapping[str, Any], stamp: str = "") -> pa.Table:
        """Store a part under its final name, whole or not at all. stamp: what `read` must ask for."""
        rows = pa.table(dict(columns), schema=self.schema.with_metadata({_STAMP: stamp.encode()}))
        write_part(part_file(self.path, index), rows)
        return rows
