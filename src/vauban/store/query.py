"""Read a run directory back into plain columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vauban.core.errors import ContractError
from vauban.store.parquet import CellStore, Store
from vauban.store.schema import SCHEMA, to_numpy
from vauban.store.sources import changed

Columns = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class CellRows:
    """One cell as read: `columns` are arrays `(rows,)` in the order of the batches.

    `meta["seconds"]` is the time of the stored batches; `complete` says that all `meta["n"]` samples are there;
    `changed` names the source files that differ from those which made the rows; `damaged` are unreadable part files.
    """

    meta: dict[str, Any]
    columns: Columns
    findings: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    complete: bool
    changed: tuple[str, ...] = ()
    damaged: tuple[Path, ...] = ()

    @property
    def stale(self) -> bool:
        """Whether code that made these rows has changed since."""
        return bool(self.changed)


@dataclass(frozen=True)
class Run:
    """A run directory as read."""

    path: Path
    study: dict[str, Any]
    cells: list[CellRows]
    findings: list[dict[str, Any]]


def load(path: Path | str) -> Run:
    """Read every cell of a run directory.

    Raises ContractError where the folder holds no run, or one of another schema version.
    """
    store = Store(path)
    cells = store.cells()
    if not cells and not (store.path / "study.json").exists():
        raise ContractError(
            f"{path}: expected a run directory, got no study.json and no cells; pass the --out of a run"
        )
    return Run(store.path, store.study(), [read_cell(cell) for cell in cells], store.findings())


def read_cell(cell: CellStore) -> CellRows:
    """Read one cell."""
    meta = cell.meta()
    parts = list(cell.read())
    columns = to_numpy(pa.concat_tables([part.rows for part in parts]) if parts else SCHEMA.empty_table())
    meta["seconds"] = sum(part.seconds for part in parts)
    read = {part.index for part in parts}
    return CellRows(
        meta,
        columns,
        cell.findings(),
        cell.failures(),
        complete=len(np.unique(columns["id"])) == int(meta.get("n", -1)),
        changed=tuple(changed(meta.get("sources", {}))),
        damaged=tuple(path for path in cell.files() if int(path.stem) not in read),
    )
