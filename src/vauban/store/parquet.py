"""Run directory on disk: one Parquet file per finished batch, so that a kill loses at most the batch in flight."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from vauban.core.errors import ContractError
from vauban.store import files
from vauban.store.metric_columns import declared_metrics
from vauban.store.part import part_file, read_part, unreadable, write_part
from vauban.store.schema import PICTURES, SCHEMA_VERSION, completed, schema_with, table

log = logging.getLogger("vauban.store")
KEY = r"[A-Za-z0-9_-]+"
"""The content hash of a cell, the name of its folder."""


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


@dataclass(frozen=True)
class Store:
    """A run directory `path`: `study.json`, `findings.json`, `cells/<hash>/`, `images/<hash>/`, `report.html`."""

    path: Path

    def __init__(self, path: Path | str) -> None:
        object.__setattr__(self, "path", Path(path))

    def cell(self, key: str) -> CellStore:
        """The cell with a content hash; its folder appears with `create`.

        Args:
            key: The hash: letters, digits, `-` and `_`.

        Raises:
            ContractError: The hash has other characters, and could leave the run directory.
        """
        if not re.fullmatch(KEY, key):
            raise ContractError(f"cell hash: expected letters and digits, got {key!r}; pass the hash of the plan")
        return CellStore(self.path / "cells" / key)

    def cells(self) -> list[CellStore]:
        """Every created cell, in the order of the hashes."""
        folders = sorted(path for path in self.path.glob("cells/*") if not path.name.startswith("."))
        own = [path for path in folders if re.fullmatch(KEY, path.name) and path.is_dir() and not path.is_symlink()]
        for path in folders:
            if path not in own:
                log.warning("%s is no cell of this run; ignored", path)
        return [CellStore(path) for path in own if (path / "cell.json").is_file()]

    def study(self) -> dict[str, Any]:
        """The plan, {} before it is written."""
        path = self.path / "study.json"
        return dict(files.read_json(path)) if path.exists() else {}

    def write_study(self, plan: Mapping[str, Any]) -> None:
        """Replace the plan atomically."""
        files.write_json(self.path / "study.json", dict(plan))

    def findings(self) -> list[dict[str, Any]]:
        """Findings that compare cells: those of `CellStore.findings` with `about`, a cell's hash or a label."""
        return _read_findings(self.path / "findings.json")

    def write_findings(self, findings: list[dict[str, Any]]) -> None:
        """Replace the findings that compare cells."""
        files.write_json(self.path / "findings.json", findings)

    def images(self, key: str) -> Path:
        """Folder of the saved PNG images of a cell."""
        return self.path / "images" / key


@dataclass(frozen=True)
class CellStore:
    """One cell: `cell.json`, `parts/00007.parquet`, `findings.json`, `failures.jsonl`, `lock`."""

    path: Path
    _reported: set[str] = field(default_factory=set, compare=False, repr=False)

    @property
    def key(self) -> str:
        """The content hash, which is the name of the folder."""
        return self.path.name

    @property
    def exists(self) -> bool:
        """Whether the cell was created."""
        return (self.path / "cell.json").exists()

    def create(self, meta: Mapping[str, Any]) -> dict[str, Any]:
        """Write `cell.json` unless it is there.

        Args:
            meta: The facts of the cell; the time is added as `created`.

        Returns:
            The facts that are there.

        Raises:
            ContractError: The cell was written with another schema version, or declares metrics that are none.
        """
        schema_with([metric.name for metric in declared_metrics(meta)])
        files.check_unlinked(self.path.parent, self.path, self.path / "parts")
        files.clean_leftovers(self.path)
        files.clean_leftovers(self.path / "parts")
        if not self.exists:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            facts = {"created": now, **meta, "schema": SCHEMA_VERSION, "hash": self.key}
            files.write_json(self.path / "cell.json", facts)
        return self.meta()

    def meta(self) -> dict[str, Any]:
        """The facts of the cell: model, defence, threat, attack, data, settings, versions, declared metrics.

        Raises:
            ContractError: The file is damaged, or of another schema version.
        """
        meta = dict(files.read_json(self.path / "cell.json"))
        if meta.get("schema") != SCHEMA_VERSION:
            raise ContractError(
                f"{self.path}: expected schema {SCHEMA_VERSION}, got {meta.get('schema')}; "
                "choose another --out, or read it with the vauban that wrote it"
            )
        return meta

    def append(self, index: int, columns: Mapping[str, Any], seconds: float = 0.0) -> None:
        """Store one batch under its final name, whole or not at all; an older part is replaced.

        Args:
            index: The place of the batch, at least 0.
            columns: Names to values `(batch,)`: fixed columns, and metrics that the cell declares.
            seconds: The time the batch took.

        Raises:
            ContractError: The columns are not those of the cell, see `schema.table`.
        """
        meta = self.meta()
        metrics = [metric.name for metric in declared_metrics(meta)]
        rows = table(columns, clean_only=bool(meta.get("clean_only", False)), metrics=metrics)
        rows = rows.replace_schema_metadata({"vauban_schema": str(SCHEMA_VERSION), "vauban_seconds": repr(seconds)})
        write_part(part_file(self.path / "parts", index), rows)

    def files(self) -> list[Path]:
        """The part files, readable or not; what else lies there is named once and ignored."""
        here = sorted(path for path in (self.path / "parts").glob("*") if not path.name.startswith("."))
        stray = [path for path in here if not re.fullmatch(r"[0-9]{5,9}\.parquet", path.name)]
        for path in stray:
            if path.name not in self._reported:
                self._reported.add(path.name)
                log.warning("%s is no part of this run; ignored", path)
        return [path for path in here if path not in stray]

    def parts(self) -> set[int]:
        """Indices of the batches that are stored and readable."""
        return {part.index for part in self.read(pictures=False)}

    def read(self, pictures: bool = True) -> Iterator[StoredPart]:
        """The readable batches in order; a damaged one is logged in one line, once, and treated as missing.

        Args:
            pictures: Whether the columns of pictures are read.
        """
        paths = self.files()
        metrics = self._metrics() if paths else []
        for path in paths:
            part = self._open(path, metrics, pictures)
            if part is not None:
                yield part

    def part(self, index: int) -> StoredPart:
        """The part `index`; a ContractError where it is absent or damaged."""
        return _part(part_file(self.path / "parts", index), self._metrics())

    def _metrics(self) -> list[str]:
        return [metric.name for metric in declared_metrics(self.meta())]

    def _open(self, path: Path, metrics: Sequence[str], pictures: bool = True) -> StoredPart | None:
        try:
            return _part(path, metrics, pictures)
        except ContractError as error:
            if path.name not in self._reported:
                self._reported.add(path.name)
                log.warning("%s; its batch counts as missing", error)
            return None

    def fail(self, index: int, error: str, traceback: str = "") -> None:
        """Record that batch `index` failed; it stays on record until a part of that index is stored."""
        files.append_line(self.path / "failures.jsonl", {"index": index, "error": error, "traceback": traceback})

    def failures(self) -> list[dict[str, Any]]:
        """The last failure of each batch that has no readable part: keys index, error, traceback."""
        last = {int(line["index"]): dict(line) for line in files.read_lines(self.path / "failures.jsonl")}
        done = self.parts() if last else set()
        return [last[index] for index in sorted(last) if index not in done]

    def findings(self) -> list[dict[str, Any]]:
        """Findings: keys code, severity (info, warning or invalid), message, advice, share, threshold."""
        return _read_findings(self.path / "findings.json")

    @property
    def checked(self) -> bool:
        """Whether findings were written, be it none."""
        return (self.path / "findings.json").exists()

    def write_findings(self, findings: list[dict[str, Any]]) -> None:
        """Replace the findings."""
        files.write_json(self.path / "findings.json", findings)

    @contextlib.contextmanager
    def lock(self, index: int) -> Iterator[bool]:
        """Yield whether this process now owns the part `index`."""
        with files.lock_part(self.path / "lock", index) as mine:
            yield mine

    def holds(self, index: int, ids: Sequence[int], column: str | None = None) -> bool:
        """Whether the part `index` is stored with these samples, and with `column` filled where one is named."""
        if index not in self.indices():
            return False
        part = self._open(part_file(self.path / "parts", index), self._metrics())
        if part is None or part.rows["id"].to_pylist() != list(ids):
            return False
        return column is None or part.rows[column].null_count == 0

    def indices(self) -> set[int]:
        """Indices of the part files, readable or not."""
        return {int(path.stem) for path in self.files()}


def _part(path: Path, metrics: Sequence[str], pictures: bool = True) -> StoredPart:
    schema = schema_with(metrics)
    if not pictures:
        schema = pa.schema([column for column in schema if column.name not in PICTURES])
    rows = completed(read_part(path, None if pictures else lambda name: name not in PICTURES), metrics)
    if set(rows.schema.names) == set(schema.names):
        rows = rows.select(schema.names)
    if not rows.schema.equals(schema):
        raise unreadable(path, "columns of another schema")
    facts = rows.schema.metadata or {}
    try:
        return StoredPart(int(path.stem), rows, float(facts.get(b"vauban_seconds", b"0")))
    except ValueError as error:
        raise unreadable(path, str(error)) from error


def _read_findings(path: Path) -> list[dict[str, Any]]:
    return [dict(finding) for finding in files.read_json(path)] if path.exists() else []
