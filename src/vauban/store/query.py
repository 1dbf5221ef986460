"""Read a run directory back into plain columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """One cell as read. `columns` are arrays `(rows,)` in the order of the batches.

    `meta["seconds"]`: the time of the stored batches. `complete`: all `meta["n"]` samples are there. `checked`: findings
    were looked for, so that none means something. `superseded`: under the same names the last plan judges another
    network or runs another code. `changed`: source files that differ from those which made the rows. `damaged`:
    unreadable part files.
    """

    meta: dict[str, Any]
    columns: Columns
    findings: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    complete: bool
    checked: bool = False
    superseded: bool = False
    changed: tuple[str, ...] = ()
    damaged: tuple[Path, ...] = ()

    @property
    def stale(self) -> bool:
        """Whether the code or the network that made these rows has changed since."""
        return bool(self.changed) or self.superseded


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
    study = store.study()
    return Run(store.path, study, _supersede([read_cell(cell) for cell in cells], study), store.findings())


def _supersede(cells: list[CellRows], study: dict[str, Any]) -> list[CellRows]:
    """Mark cells outside the last plan (`study["cells"]`) that it contradicts.

    A planned cell of the same words, or one of the same model, defence and data whose first logits differ, shows that
    a name now means something else.
    """
    planned = [cell for cell in cells if cell.meta["hash"] in study.get("cells", ())]
    kept = {cell.meta["hash"] for cell in planned}
    return [
        replace(cell, superseded=cell.meta["hash"] not in kept and any(_contradict(cell, now) for now in planned))
        for cell in cells
    ]


def _contradict(old: CellRows, now: CellRows) -> bool:
    if any(old.meta.get(key) != now.meta.get(key) for key in ("model", "defence", "data")):
        return False
    words = ("threat", "attack", "goal", "norm", "eps", "levels", "seed", "batch_size", "device", "params")
    if all(old.meta.get(key) == now.meta.get(key) for key in words):
        return True
    before, after = (np.asarray(cell.meta.get("probe", []), dtype=np.float64) for cell in (old, now))
    return before.shape == after.shape and not np.allclose(before, after, rtol=1e-4, atol=1e-5, equal_nan=True)


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
        checked=cell.checked,
        complete=len(np.unique(columns["id"])) == int(meta.get("n", -1)),
        changed=tuple(changed(meta.get("sources", {}))),
        damaged=tuple(path for path in cell.files() if int(path.stem) not in read),
    )
