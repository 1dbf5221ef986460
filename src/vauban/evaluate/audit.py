"""Audit of a cell: samples that its attack spared are given all of it, planned from the rows of all batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from vauban.core.contracts import Computed, Part
from vauban.evaluate.after_cell import AfterCell
from vauban.evaluate.audited_rows import SUSPICIOUS, merged, order_of
from vauban.evaluate.batch import evaluate_batch
from vauban.evaluate.columns import columns
from vauban.evaluate.job import CellJob
from vauban.evaluate.unchanged import check_unchanged
from vauban.statistics.audit import due
from vauban.store.parquet import Store
from vauban.store.query import read_cell


def audit_job(job: CellJob, findings: Iterable[Mapping[str, Any]]) -> AuditJob | None:
    """What is to be audited of a cell as its rows stand; None where nothing is, or where batches are missing.

    Args:
        job: The job of the cell.
        findings: What the diagnostics say of the cell, by itself and beside others.
    """
    if job.cell.attack.value.audit is None:
        return None
    read = read_cell(job.folder, pictures=False)
    if not read.complete:
        return None
    everybody = any(finding["code"] in SUSPICIOUS for finding in findings)
    ids = read.columns["id"]
    chosen = due(read.columns, order_of(ids, job.cell.settings.seed), everybody)
    return AuditJob(job, tuple(int(i) for i in np.sort(ids[chosen]))) if chosen.any() else None


def due_audits(store: Store, jobs: Sequence[CellJob]) -> list[AuditJob]:
    """What is to be audited of each cell, as the rows stand now."""
    across, audits = store.findings(), []
    for job in jobs:
        meta = job.folder.meta()
        about = (job.key, " | ".join(str(meta[word]) for word in ("model", "defence", "threat")))
        own = [finding for finding in across if finding["about"] in about]
        audit = audit_job(job, [*job.folder.findings(), *own])
        audits += [] if audit is None else [audit]
    return audits


@dataclass(frozen=True, eq=False)
class AuditJob(AfterCell):
    """All of the attack for some samples of a cell; their rows become the worst case of both."""

    called: ClassVar[str] = "audit"
    made_by: ClassVar[str] = "cell_audit"

    def identity(self) -> Mapping[str, Any]:
        return {"cell": self.job.key, "audited": list(self.ids)}

    @cached_property
    def _parts(self) -> list[Part]:
        chosen = torch.tensor(self.ids)
        parts = []
        for part in self.job.parts():
            mine = torch.isin(self.job.cell.data.rows[part.positions], chosen)
            if bool(mine.any()):
                parts.append(Part(part.index, part.positions[mine]))
        return parts

    def stored(self, part: Part) -> bool:
        rows = self.job.folder.part(part.index).rows.select(["id", "audited"]).to_pydict()
        done = {i for i, audited in zip(rows["id"], rows["audited"], strict=True) if audited}
        return done.issuperset(self.job.cell.data.rows[part.positions].tolist())

    def compute(self, part: Part, scratch: Path) -> Computed:
        cell, settings = self.job.cell, self.job.cell.settings
        attack = cell.attack.value.audit
        assert attack is not None
        batch = cell.data.batch(part.positions).to(settings.device)
        done = evaluate_batch(attack, cell.threat, batch, cell.goal, seed=settings.seed)
        check_unchanged(cell.threat.parts, cell.state)
        return Computed(columns(done, settings.save_images, cell.metric_functions))

    def keep(self, part: Part, computed: Computed, seconds: float) -> None:
        stored = self.job.folder.part(part.index)
        stage = len(self.job.cell.attack.value.stages_on(self.job.cell.data.shape)) - 1
        rows = merged(stored.rows.to_pydict(), computed.columns, stage)
        self.job.keep_again(part.index, rows, stored.seconds + seconds)

    def fail(self, part: Part, error: str, traceback: str) -> None:
        self.job.folder.fail(part.index, error, traceback)
