"""Reader of a run directory: its cells as plain columns."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vauban.core.errors import ContractError
from vauban.store.cell_store import CellStore, OtherSchema
from vauban.store.certificates import CERTIFICATES
from vauban.store.job_rows import JobRows
from vauban.store.measurements import MEASUREMENTS
from vauban.store.metric_columns import MetricColumn, declared_metrics
from vauban.store.parquet import Store
from vauban.store.row_pictures import Pictures
from vauban.store.schema import PICTURES, schema_with, to_numpy
from vauban.store.sources import changed, earlier_version
from vauban.store.stored_part import not_a_picture

log = logging.getLogger("vauban.store")
_FACTS = {**dict.fromkeys(("model", "defence", "threat", "attack", "data"), str), "n": int, "sources": dict}
"""Types of the facts that every reader of a cell relies on."""
Columns = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class CellRows:
    """One cell as read.

    Attributes:
        meta: The facts of the cell; `meta["seconds"]` is the time of the stored batches.
        columns: Arrays `(rows,)` in the order of the batches, fixed columns and declared metrics; those of pictures where
            they were read.
        findings: What the diagnostics say of the cell.
        failures: The last failure of each batch that has no rows.
        complete: Whether all `meta["n"]` samples are there.
        checked: Whether findings were looked for, so that none means something.
        superseded: Whether the last plan judges another network or runs another code under the same names.
        changed: Source files that differ from those which made the rows.
        damaged: Part files that cannot be read.
        pictures: The pictures where they were not read, to be read one by one.
        earlier_version: The version that made the rows where its files cannot be compared with today's (`0.1`), else "".
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
    earlier_version: str = ""
    pictures: Pictures | None = None

    @property
    def pictured(self) -> np.ndarray[Any, Any]:
        """Which rows have both pictures, `(rows,)` bool."""
        if self.pictures is not None:
            return self.pictures.stored
        pairs = zip(*(self.columns[name] for name in PICTURES), strict=True)
        return np.asarray([clean is not None and adv is not None for clean, adv in pairs], bool)

    def picture(self, name: str, row: int) -> bytes:
        """One picture of a row that is `pictured`. Raises ContractError where its part is damaged."""
        picture: Any = self.columns[name][row] if self.pictures is None else self.pictures.at(name, row)
        assert isinstance(picture, bytes)
        return picture

    @property
    def stale(self) -> bool:
        """Whether the code or the network that made these rows has changed since."""
        return bool(self.changed) or self.superseded

    @property
    def metrics(self) -> tuple[MetricColumn, ...]:
        """The metric columns beside the fixed ones."""
        return declared_metrics(self.meta)


@dataclass(frozen=True)
class Run:
    """A run directory as read.

    Attributes:
        path: The directory.
        study: The last plan, {} where none was written.
        cells: Every cell, in the order of the hashes.
        findings: Findings that compare cells.
        certificates: What `vauban certify` has bounded, in the order of the hashes.
        measurements: What `vauban measure` has measured, likewise.
    """

    path: Path
    study: dict[str, Any]
    cells: list[CellRows]
    findings: list[dict[str, Any]]
    certificates: Sequence[JobRows] = ()
    measurements: Sequence[JobRows] = ()


def load(path: Path | str, pictures: bool = True, columns: Collection[str] | None = None) -> Run:
    """Read every cell of a run directory.

    Args:
        path: The `--out` of a run.
        pictures: Whether the columns of pictures are read; without them `CellRows.picture` reads one by one.
        columns: The columns that are read, `id` among them; None: all.

    Returns:
        The run, its cells marked where the last plan supersedes them. A cell with damaged facts is left out with a warning.

    Raises:
        ContractError: The folder holds no run, or one of another schema version.
    """
    store = Store(path)
    cells = store.cells()
    certificates, measurements = CERTIFICATES.read_all(store.path), MEASUREMENTS.read_all(store.path)
    if not cells and not certificates and not measurements and not (store.path / "study.json").exists():
        raise ContractError(f"{path}: expected a run directory, got no study.json and no rows; pass the --out of a run")
    study = store.study()
    read = [rows for cell in cells if (rows := _readable(cell, pictures, columns)) is not None]
    return Run(store.path, study, _supersede(read, study), store.findings(), certificates, measurements)


def _readable(cell: CellStore, pictures: bool, columns: Collection[str] | None) -> CellRows | None:
    try:
        return read_cell(cell, pictures, columns)
    except OtherSchema:
        raise
    except ContractError as error:
        log.warning("%s is left out: %s", cell.path, error)
        return None


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
    words = [
        "threat",
        "attack",
        "goal",
        "norm",
        "eps",
        "levels",
        "seed",
        "batch_size",
        "device",
        "precision",
        "compiled",
    ]
    if old.earlier_version == now.earlier_version:  # two versions describe the same parameters in two forms
        words.append("params")
    if all(old.meta.get(key) == now.meta.get(key) for key in words):
        return True
    before, after = (np.asarray(cell.meta.get("probe", []), dtype=np.float64) for cell in (old, now))
    return before.shape == after.shape and not np.allclose(before, after, rtol=1e-4, atol=1e-5, equal_nan=True)


def read_cell(cell: CellStore, pictures: bool = True, only: Collection[str] | None = None) -> CellRows:
    """Read one cell, with the columns of pictures or without, or `only` some columns."""

    def wanted(name: str) -> bool:
        return (pictures or not_a_picture(name)) and (only is None or name in only)

    meta = cell.meta()
    _check_facts(cell, meta)
    parts = list(cell.read(wanted))
    empty = pa.schema(
        [c for c in schema_with([m.name for m in declared_metrics(meta)]) if wanted(c.name)]
    ).empty_table()
    columns = to_numpy(pa.concat_tables([part.rows for part in parts]) if parts else empty)
    meta["seconds"] = sum(part.seconds for part in parts)
    read = {batch.index for part in parts for batch in part.batches}
    earlier = earlier_version(meta)
    return CellRows(
        meta,
        columns,
        cell.findings(),
        cell.failures(),
        checked=cell.checked,
        complete=_distinct(columns["id"]) == int(meta.get("n", -1)),
        changed=() if earlier else tuple(changed(meta.get("sources", {}))),
        damaged=tuple(cell.damaged(read)),
        earlier_version=earlier,
        pictures=None if pictures else Pictures(tuple((part.place, len(part.rows)) for part in parts)),
    )


def _check_facts(cell: CellStore, meta: dict[str, Any]) -> None:
    for key, kind in _FACTS.items():
        if key in meta and not isinstance(meta[key], kind):
            raise ContractError(f"{cell.path / 'cell.json'}: expected {key} as {kind.__name__}, got {meta[key]!r:.40}")


def _distinct(ids: np.ndarray[Any, Any]) -> int:
    """How many different ids there are; they stand in increasing order nearly always."""
    return len(ids) if bool((ids[1:] > ids[:-1]).all()) else len(np.unique(ids))
