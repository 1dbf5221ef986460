"""Running a cell: batch after batch into the store, resumable, one failure at a time."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vauban.core.contracts import Batch
from vauban.core.errors import NoGradient, VaubanError
from vauban.evaluate.batch import Evaluated, columns, evaluate_batch, pictured
from vauban.evaluate.cell import Cell
from vauban.evaluate.diagnostics.checks import check_run, out_of_memory
from vauban.evaluate.diagnostics.findings import Finding
from vauban.store.parquet import CellStore, Store

log = logging.getLogger("vauban")
Progress = Callable[[Cell, int, int, dict[str, Any] | None], None]
"""(cell, samples done, samples in all, columns of the batch just finished or None)."""


@dataclass(frozen=True)
class Outcome:
    """How a cell ended: finished, busy (another process runs it), or failed (batches that no process could do)."""

    cell: Cell
    state: str
    failures: int = 0


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


def run_cell(
    store: Store,
    folder: CellStore,
    cell: Cell,
    progress: Progress | None = None,
    found: Sequence[Finding] | None = None,
) -> Outcome:
    """Run the batches of an opened cell that are not stored yet.

    found: what the preflight says of the model; with it, the attack is questioned after the first batch too, and the
    findings are stored before that batch is (None: no diagnostics).

    A VaubanError ends the run after it was recorded. A network without a gradient ends its cell only: the next threat may
    have a way around. Any other exception is recorded against its batch, the others go on, and the batch is tried again at
    the next run.
    """
    with folder.lock() as mine:
        if not mine:
            return Outcome(cell, "busy")
        stored, failed, done = _kept(store, folder, cell), 0, 0
        for index, batch in enumerate(cell.data.batches(cell.settings.batch_size, cell.settings.device)):
            rows = None
            if index not in stored:
                try:
                    rows = _attempt(store, folder, cell, index, batch, found if index == 0 else None)
                except NoGradient as error:
                    log.error("%s: %s", cell.label, error)
                    return Outcome(cell, "failed", 1)
                failed += rows is None
            done += len(batch)
            if progress is not None:
                progress(cell, done, len(cell.data), rows)
    return Outcome(cell, "failed" if failed else "finished", failed)


def _attempt(
    store: Store, folder: CellStore, cell: Cell, index: int, batch: Batch, found: Sequence[Finding] | None
) -> dict[str, Any] | None:
    began = time.perf_counter()
    try:
        done = evaluate_in_halves(cell, batch)
        rows = _rows(cell, done)
        seconds = time.perf_counter() - began
        if found is not None:
            folder.write_findings([f.to_json() for f in (*found, *check_run(cell, done[0]))])
        if cell.settings.save_images:
            save_images(store, cell, rows)
        folder.append(index, rows, seconds=seconds)
        return rows
    except VaubanError as error:
        folder.fail(index, str(error))
        if found:
            folder.write_findings([f.to_json() for f in found])
        raise
    except Exception as error:
        folder.fail(index, f"{type(error).__name__}: {error}", traceback.format_exc())
        log.error(
            "%s: batch %d failed: %s: %s (recorded, tried again at the next run)",
            cell.label,
            index,
            type(error).__name__,
            str(error).splitlines()[0] if str(error) else "",
        )
        return None


def _kept(store: Store, folder: CellStore, cell: Cell) -> set[int]:
    """The batches that need not run. Where images are wanted they are written from the store; a batch that was stored
    without its images runs again."""
    if not cell.settings.save_images or not pictured(cell.data.shape):
        return folder.parts()
    kept = set()
    for part in folder.read():
        rows = part.rows.select(["id", "adv_png"]).to_pydict()
        if None not in rows["adv_png"]:
            save_images(store, cell, rows)
            kept.add(part.index)
    return kept


def _rows(cell: Cell, done: Sequence[Evaluated]) -> dict[str, Any]:
    parts = [columns(part, cell.settings.save_images) for part in done]
    return {name: [v for part in parts for v in part[name]] for name in parts[0]}


def evaluate_in_halves(cell: Cell, batch: Batch) -> list[Evaluated]:
    """Evaluate a batch; where memory runs out, its two halves, and so on down to single samples."""
    try:
        return [evaluate_batch(cell.attack.value, cell.threat, batch, cell.goal, seed=cell.settings.seed)]
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error) or len(batch) == 1:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(batch) // 2
    log.warning("%s: out of memory with %d samples; trying %d", cell.label, len(batch), half)
    return [e for part in (slice(None, half), slice(half, None)) for e in evaluate_in_halves(cell, _part(batch, part))]


def _part(batch: Batch, part: slice) -> Batch:
    return Batch(batch.x[part], batch.y[part], batch.ids[part], batch.levels)


def save_images(store: Store, cell: Cell, rows: dict[str, Any]) -> None:
    """Write the evaluated images as PNG: exactly the bytes the verdict was given on."""
    folder = store.images(cell.hash)
    folder.mkdir(parents=True, exist_ok=True)
    for sample, image in zip(rows["id"], rows["adv_png"], strict=True):
        if image is not None:
            (folder / f"{int(sample)}.png").write_bytes(image)
