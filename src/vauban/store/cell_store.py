"""Cell on disk: its facts, one Parquet file per finished batch, findings, failures and the lock of its parts."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vauban.core.errors import ContractError
from vauban.store import files
from vauban.store.ledger import write_noted_json
from vauban.store.metric_columns import declared_metrics
from vauban.store.part import part_file, write_part
from vauban.store.schema import SCHEMA_VERSION, schema_with, table
from vauban.store.stored_part import StoredPart, not_a_picture, stored_part

log = logging.getLogger("vauban.store")


class OtherSchema(ContractError):  # noqa: N818
    """A cell was written with another version of the schema."""


@dataclass(frozen=True)
class CellStore:
    """One cell: `cell.json`, `parts/00007.parquet`, `findings.json`, `planted.json`, `drift.json`, `failures.jsonl`,
    `digests.jsonl`, `lock`."""

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
        """The part files, readable or not; what else lies there is named once and ignored."""
        if (self.path / "parts").is_symlink():
            self._report("parts", "%s is a symbolic link; ignored", self.path / "parts")
            return []
        here = sorted(path for path in (self.path / "parts").glob("*") if not path.name.startswith("."))
        stray = [path for path in here if not re.fullmatch(r"[0-9]{5,9}\.parquet", path.name)]
        for path in stray:
            self._report(path.name, "%s is no part of this run; ignored", path)
        return [path for path in here if path not in stray]

    def parts(self) -> set[int]:
        """Indices of the batches that are stored and readable."""
        return {part.index for part in self.read(not_a_picture)}

    def read(self, wanted: Callable[[str], bool] | None = None) -> Iterator[StoredPart]:
        """The readable batches in order; a damaged one is logged in one line, once, and treated as missing.

        Args:
            wanted: From the name of a column to whether it is read; None: all are.
        """
        paths = self.files()
        metrics = self._metrics() if paths else []
        for path in paths:
            part = self._open(path, metrics, wanted)
            if part is not None:
                yield part

    def part(self, index: int) -> StoredPart:
        """The part `index`; a ContractError where it is absent or damaged."""
        return stored_part(part_file(self.path / "parts", index), self._metrics())

    def _metrics(self) -> list[str]:
        return [metric.name for metric in declared_metrics(self.meta())]

    def _open(
        self, path: Path, metrics: Sequence[str], wanted: Callable[[str], bool] | None = None
    ) -> StoredPart | None:
        try:
            return stored_part(path, metrics, wanted)
        except ContractError as error:
            self._report(path.name, "%s; its batch counts as missing", error)
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

    def findings(self) -> list[dict[str, Any]]:
        """Findings: keys code, severity (info, warning or invalid), message, advice, share, threshold."""
        return stored_findings(self.path / "findings.json")

    @property
    def checked(self) -> bool:
        """Whether findings were written, be it none."""
        return (self.path / "findings.json").exists()

    def write_findings(self, findings: list[dict[str, Any]]) -> None:
        """Replace the findings."""
        write_noted_json(self.path, "findings.json", findings)

    def planted(self) -> dict[str, Any] | None:
        """The planted test of the attack: keys key, seconds, test; None where there was none."""
        path = self.path / "planted.json"
        return files.read_facts(path) if path.exists() else None

    def write_planted(self, test: Mapping[str, Any]) -> None:
        """Replace the planted test."""
        write_noted_json(self.path, "planted.json", dict(test))

    def drift(self) -> dict[str, Any] | None:
        """Answers to clean images that have moved: keys asked, moved, scores, scores_moved; None where nobody asked."""
        path = self.path / "drift.json"
        return files.read_facts(path) if path.exists() else None

    def write_drift(self, counts: Mapping[str, int]) -> None:
        """Replace these counts."""
        write_noted_json(self.path, "drift.json", dict(counts))

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


def stored_findings(path: Path) -> list[dict[str, Any]]:
    """The findings of a file, a warning each unless it says more; none where it is absent.

    Raises:
        ContractError: The file holds something else, or is a symbolic link.
    """
    if not path.exists():
        return []
    findings = files.read_json(path, follow=False)
    if not isinstance(findings, list) or not all(
        isinstance(f, dict) and {"code", "message"} <= set(f) for f in findings
    ):
        raise ContractError(f"{path}: expected a list of findings with code and message; delete it and run again")
    return [{"severity": "warning", **finding} for finding in findings]


def _is_failure(line: Any) -> bool:
    return isinstance(line, dict) and isinstance(line.get("index"), int) and isinstance(line.get("error"), str)
