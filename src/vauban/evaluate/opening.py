"""Opening a cell: its folder, and a new one beside it where the model answers differently from what is stored."""

from __future__ import annotations

import logging

import numpy as np

from vauban.core.errors import VaubanError
from vauban.evaluate.cell import Cell
from vauban.store.cell_store import CellStore
from vauban.store.parquet import Store

log = logging.getLogger("vauban")


def open_cell(store: Store, cell: Cell) -> tuple[CellStore, Cell]:
    """The cell's folder; where the stored probe logits do not match (rtol 1e-4), that of a new cell beside it."""
    for salt in range(1000):
        salted = cell.salted(salt) if salt else cell
        folder = store.cell(salted.hash)
        known = folder.exists
        meta = folder.create(salted.meta())
        stored = np.asarray(meta.get("probe", []), dtype=np.float64)
        now = salted.probe.double().numpy()
        if stored.shape == now.shape and np.allclose(stored, now, rtol=1e-4, atol=1e-5, equal_nan=True):
            if salt and not known:
                log.warning(
                    "%s: the model answers differently from when %s was stored; starting a new cell",
                    cell.label,
                    cell.hash,
                )
            return folder, salted
    raise VaubanError(f"{cell.label}: the model answers differently at every start; declare it random on its card")
