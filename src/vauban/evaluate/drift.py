"""Drift check: clean images asked again at the end of a run, of networks that may answer otherwise some day."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from vauban.core.answers import predicted
from vauban.core.errors import VaubanError
from vauban.core.rng import fold
from vauban.evaluate.cell import PROBE, Cell, answers
from vauban.evaluate.job import CellJob
from vauban.evaluate.queries import AGAIN
from vauban.store.query import read_cell

log = logging.getLogger("vauban")


def check_drift(jobs: Sequence[CellJob]) -> None:
    """Ask each network of some cells again, and store with each cell how many answers have moved since.

    Labels are compared with those that the rows hold, scores with those of the first images, which the cell holds. Nothing
    is asked of a randomised network, whose answers move anyway. A service that has gone ends no run.

    Args:
        jobs: Jobs of cells whose network drifts and of which something was computed in this run.
    """
    of_network: dict[nn.Module, list[CellJob]] = {}
    for job in jobs:
        if not job.cell.threat.randomised:
            of_network.setdefault(job.cell.defended, []).append(job)
    for own in of_network.values():
        try:
            _ask_again(own)
        except VaubanError as error:
            log.warning("%s: clean images were not asked again: %s", own[0].cell.model.name, error)


def _ask_again(jobs: Sequence[CellJob]) -> None:
    cell = jobs[0].cell
    positions = _drawn(cell)
    batch = cell.data.batch(torch.tensor(positions)).to(cell.settings.device)
    logits = answers(cell.defended, batch.x).cpu()
    labels = dict(zip(batch.ids.tolist(), predicted(logits).tolist(), strict=True))
    for job in jobs:
        columns, shown = read_cell(job.folder, pictures=False).columns, job.folder.meta()["probe"]
        before = dict(zip(columns["id"].tolist(), columns["clean_label"].tolist(), strict=True))
        both = [i for i in labels if i in before]
        moved = sum(labels[i] != before[i] for i in both)
        then, now = np.asarray(shown, dtype=np.float64), logits[: len(shown)].double().numpy()
        far = ~np.isclose(then, now, rtol=1e-4, atol=1e-5, equal_nan=True).all(1)
        counts = {"asked": len(both), "moved": moved, "scores": len(far), "scores_moved": int(far.sum())}
        job.folder.write_drift(counts)


def _drawn(cell: Cell) -> list[int]:
    """Positions of the images that are asked again: the first, whose scores the cell holds, and others by their ids."""
    ids = cell.data.rows.tolist()
    rest = sorted(range(min(PROBE, len(ids)), len(ids)), key=lambda at: fold(cell.settings.seed, "again", ids[at]))
    return [*range(min(PROBE, len(ids))), *sorted(rest[: AGAIN - PROBE])]
