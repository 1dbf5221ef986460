"""Cell on disk: its facts, one Parquet file per finished batch, findings, failures and the lock of its parts."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from vauban.core.errors import ContractError
from vauban.store import compacted as compaction
from vauban.store import files
from vauban.store.cell_notes import CellNotes
from vauban.store.compacted import Compacted, in_order, open_compacted
from vauban.store.ledger import write_noted, write_noted_json
from vauban.store.metric_columns import declared_metrics
from vauban.store.part import part_file, write_part
from vauban.store.schema import SCHEMA_VERSION, schema_with, table
from vauban.store.stored_part import Place, StoredPart, not_a_picture, stored_part

log = logging.getLogger("vauban.store")
FEW = 32
"""Fewer part files than that are left as they are."""


class OtherSchema(ContractError):  # noqa: N818
    """A cell was written with another version of the schema."""


@dataclass(frozen=True)
class CellStore(CellNotes):
    """One cell: `cell.json`, `parts/00007.parquet`, `findings.json`, `planted.json`, `drift.json`, `failures.jsonl`,
    `digests.jsonl`, `lock`.

    A finished one with many parts has their rows in `rows.parquet`; a part file beside it holds newer rows of its batch.
    """

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
            write_noted_json(self.path, "cell.json", facts)
        return self.meta()

    def meta(self) -> dict[str, Any]:
        """The facts of the cell: model, defence, threat, attack, data, settings, versions, declared metrics.

        Raises:
            OtherSchema: The cell is of another schema version.
            ContractError: The file is damaged, or of another cell.
        """
        meta = files.read_facts(self.path / "cell.json")
        if meta.get("schema") != SCHEMA_VERSION:
            raise OtherSchema(
                f"{self.path}: expected schema {SCHEMA_VERSION}, got {meta.get('schema')}; "
                "choose another --out, or read it with the vauban that wrote it"
            )
        if meta.get("hash") != self.key:
            raise ContractError(f"{self.path}: expected the facts of this cell, got those of {meta.get('hash')!r}")
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
        write_part(part_file(self.path / "parts", index), rows, self.path)

    def files(self) -> list[Path]:
        """The files that hold rows, readable or not; what else lies among the parts is named once and ignored."""
        compacted = self.path / compaction.NAME
        return [*self._part_files().values(), *([compacted] if compacted.exists() else [])]

    def _part_files(self) -> dict[int, Path]:
        """The part files by the index of their batch, in order."""
        if (self.path / "parts").is_symlink():
            self._report("parts", "%s is a symbolic link; ignored", self.path / "parts")
            return {}
        here = sorted(path for path in (self.path / "parts").glob("*") if not path.name.startswith("."))
        stray = [path for path in here if not re.fullmatch(r"[0-9]{5,9}\.parquet", path.name)]
        for path in stray:
            self._report(path.name, "%s is no part of this run; ignored", path)
        return {int(path.stem): path for path in here if path not in stray}

    def _compacted(self) -> Compacted | None:
        """The compacted file; a damaged one is logged in one line, once, and counts as missing."""
        try:
            return open_compacted(self.path / compaction.NAME)
        except ContractError as error:
            self._report(compaction.NAME, "%s; its batches count as missing", error)
            return None

    def parts(self) -> set[int]:
        """Indices of the batches that are stored and readable."""
        return {batch.index for part in self.read(not_a_picture) for batch in part.batches}

    def read(self, wanted: Callable[[str], bool] | None = None) -> Iterator[StoredPart]:
        """The readable batches in order, several at once where one file holds them; a damaged file is logged in one line,
        once, and its batches are treated as missing.

        Args:
            wanted: From the name of a column to whether it is read; None: all are.
        """
        own = self._part_files()
        compacted = self._compacted()  # opened after the parts were listed: a part that goes meanwhile is in it
        if not own and compacted is None:
            return
        metrics = self._metrics()
        for index, number in in_order(own, compacted):
            part = self._group(compacted, number, metrics, wanted) if number is not None and compacted else None
            part = self._batch(index, metrics, wanted) if number is None else part
            if part is not None:
                yield part

    def each(self) -> Iterator[StoredPart]:
        """The readable batches in order, one by one."""
        indices = sorted(self.indices())
        metrics = self._metrics() if indices else []
        for index in indices:
            part = self._batch(index, metrics)
            if part is not None:
                yield part

    def part(self, index: int) -> StoredPart:
        """The batch `index`; a ContractError where it is absent or damaged."""
        return self._stored(index, self._metrics())

    def _stored(self, index: int, metrics: Sequence[str], wanted: Callable[[str], bool] | None = None) -> StoredPart:
        """A batch: that of its part file, else that of the compacted file."""
        path = part_file(self.path / "parts", index)
        try:
            if path.exists():
                return stored_part(Place(path), metrics, wanted)
        except ContractError:
            if path.exists():  # else another process has just put it into the compacted file
                raise
        compacted = self._compacted()
        if compacted is None or index not in compacted.batches:
            return stored_part(Place(path), metrics, wanted)
        part = compacted.batch(index, metrics)
        shown = [name for name in part.rows.schema.names if wanted is None or wanted(name)]
        return replace(part, rows=part.rows.select(shown))

    def compact(self) -> bool:
        """Put the rows of a finished cell into one file, unless it has few parts or another process is at one of them.

        A kill at any point leaves every row readable: the file takes its name when it is whole, then the parts in it go.

        Returns:
            Whether that was done.
        """
        with self.lock(None) as mine:
            own = self._part_files()
            if not mine or len(own) < FEW:
                return False
            held, before = self.files(), {path: _stamp(path) for path in own.values()}
            batches = [batch for part in self.read("id".__eq__) for batch in part.batches]
            if {batch.index for batch in batches} != self.indices():
                return False  # a damaged part is first made again
            groups, metrics = compaction.grouped(batches, sum(path.stat().st_size for path in held)), self._metrics()
            schema = schema_with(metrics).with_metadata({"vauban_schema": str(SCHEMA_VERSION)})
            rows = (self._stored(batch.index, metrics) for batch in batches)
            fill = partial(compaction.write_compacted, schema=schema, groups=groups, parts=rows)
            write_noted(self.path, compaction.NAME, fill)
            for path, stamp in before.items():
                if _stamp(path) == stamp:
                    path.unlink(missing_ok=True)
            files.sync_folder(self.path / "parts")
            return True

    def _metrics(self) -> list[str]:
        return [metric.name for metric in declared_metrics(self.meta())]

    def _group(
        self, compacted: Compacted, number: int, metrics: Sequence[str], wanted: Callable[[str], bool] | None
    ) -> StoredPart | None:
        try:
            return compacted.group(number, metrics, wanted)
        except ContractError as error:
            self._report(f"{compaction.NAME} {number}", "%s; its batches count as missing", error)
            return None

    def _batch(
        self, index: int, metrics: Sequence[str], wanted: Callable[[str], bool] | None = None
    ) -> StoredPart | None:
        try:
            return self._stored(index, metrics, wanted)
        except ContractError as error:
            self._report(part_file(self.path, index).name, "%s; its batch counts as missing", error)
            return None

    def _report(self, name: str, message: str, about: Any) -> None:
        """Log what is wrong with a name in the folder, once."""
        if name not in self._reported:
            self._reported.add(name)
            log.warning(message, about)

    def fail(self, index: int, error: str, traceback: str = "") -> None:
        """Record that batch `index` failed; it stays on record until a part of that index is stored."""
        files.append_line(self.path / "failures.jsonl", {"index": index, "error": error, "traceback": traceback})

    def failures(self) -> list[dict[str, Any]]:
        """The last failure of each batch that has no readable part: keys index, error, traceback."""
        lines = files.read_lines(self.path / "failures.jsonl")
        last = {line["index"]: line for line in lines if _is_failure(line)}
        done = self.parts() if last else set()
        return [last[index] for index in sorted(last) if index not in done]

    @contextlib.contextmanager
    def lock(self, index: int | None) -> Iterator[bool]:
        """Yield whether this process now owns the part `index`, all of them for None."""
        with files.lock_part(self.path / "lock", index) as mine:
            yield mine

    def holds(self, index: int, ids: Sequence[int], column: str | None = None) -> bool:
        """Whether the part `index` is stored with these samples, and with `column` filled where one is named."""
        if index not in self.indices():
            return False
        part = self._batch(index, self._metrics())
        if part is None or part.rows["id"].to_pylist() != list(ids):
            return False
        return column is None or part.rows[column].null_count == 0

    def indices(self) -> set[int]:
        """Indices of the batches that are stored, readable or not."""
        compacted = self._compacted()
        return {*self._part_files(), *(compacted.batches if compacted is not None else ())}

    def damaged(self, readable: set[int]) -> list[Path]:
        """Files that hold a batch which could not be read.

        Args:
            readable: Indices of the batches that could.
        """
        own, path = self._part_files(), self.path / compaction.NAME
        compacted = self._compacted()
        whole = not path.exists() or (compacted is not None and readable.issuperset({*compacted.batches} - {*own}))
        return [*(file for index, file in own.items() if index not in readable), *([] if whole else [path])]


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_ino


def _is_failure(line: Any) -> bool:
    return isinstance(line, dict) and isinstance(line.get("index"), int) and isinstance(line.get("error"), str)
