"""Rows of jobs beside the cells of a run directory: `<kind>/<hash>/` with their facts and one Parquet file per batch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vauban.core.errors import ContractError
from vauban.store import files
from vauban.store.ledger import write_noted_json
from vauban.store.part_folder import PartFolder
from vauban.store.schema import to_numpy
from vauban.store.sources import changed

log = logging.getLogger("vauban.store")


@dataclass(frozen=True)
class JobRows:
    """The rows of one job as read.

    Attributes:
        meta: The facts of the job: model, defence, data, n, settings, and what its kind declares.
        columns: Arrays `(rows,)` in the order of the batches.
        complete: Whether all `meta["n"]` samples are there.
        changed: Source files that differ from those which made the rows.
        failures: The last failure of each batch that has no rows.
    """

    meta: dict[str, Any]
    columns: dict[str, np.ndarray[Any, Any]]
    complete: bool
    changed: tuple[str, ...] = ()
    failures: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class RowKind:
    """A kind of rows: where they are in a run directory, and what they hold.

    Attributes:
        folder: The folder of all of its jobs.
        facts: The file of a job's facts.
        schema: The columns.
        needed: Facts without which nothing can be said of the rows.
    """

    folder: str
    facts: str
    schema: pa.Schema
    needed: frozenset[str]

    def of(self, run: Path | str, key: str) -> PartFolder:
        """The folder of a job's rows in a run directory."""
        return PartFolder(Path(run) / self.folder / key, self.schema)

    def write_facts(self, folder: PartFolder, meta: Mapping[str, Any]) -> None:
        """Write the facts of a job unless they are there."""
        if not (folder.path / self.facts).exists():
            now = datetime.now(UTC).isoformat(timespec="seconds")
            write_noted_json(folder.path, self.facts, {"created": now, "hash": folder.path.name, **meta})

    def read_all(self, run: Path | str) -> list[JobRows]:
        """Those of a run directory, in the order of the hashes; damaged facts leave one out, with a warning."""
        top = Path(run) / self.folder
        if top.is_symlink():
            log.warning("%s is a symbolic link; ignored", top)
            return []
        read = []
        for path in sorted(path for path in top.glob("*") if (path / self.facts).is_file() and not path.is_symlink()):
            try:
                read.append(self.read(self.of(run, path.name)))
            except ContractError as error:
                log.warning("%s is left out: %s", path, error)
        return read

    def read(self, folder: PartFolder) -> JobRows:
        """The facts and rows of one job. Raises ContractError where the facts are damaged."""
        meta = files.read_facts(folder.path / self.facts)
        if absent := sorted(self.needed - set(meta)):
            raise ContractError(
                f"{folder.path / self.facts}: expected {', '.join(absent)}, got none; delete it and run again"
            )
        indices = sorted(int(path.stem) for path in folder.path.glob("[0-9]*.parquet"))
        parts = {index: rows for index in indices if (rows := folder.read(index)) is not None}
        rows = pa.concat_tables(list(parts.values())) if parts else self.schema.empty_table()
        failed = {line["index"]: line for line in files.read_lines(folder.path / "failures.jsonl") if "index" in line}
        return JobRows(
            meta,
            to_numpy(rows),
            complete=len(np.unique(rows["id"].to_numpy())) == int(meta["n"]),
            changed=tuple(changed(meta.get("sources", {}))),
            failures=tuple(line for index, line in sorted(failed.items()) if index not in parts),
        )
