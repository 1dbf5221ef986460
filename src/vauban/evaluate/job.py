"""The job of a cell: its batches from the data to stored rows, with what the diagnostics say of the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from vauban.core.contracts import Artefact, Computed, Job, Part, Words
from vauban.core.pictures import pictured
from vauban.evaluate.batch import evaluate_batch
from vauban.evaluate.cell import Cell
from vauban.evaluate.columns import columns
from vauban.evaluate.diagnostics.checks import check_run
from vauban.evaluate.diagnostics.findings import Finding
from vauban.evaluate.unchanged import check_unchanged
from vauban.store import files
from vauban.store.cell_store import CellStore
from vauban.store.parquet import Store


@dataclass(frozen=True, eq=False)
class CellJob:
    """The batches of an opened cell.

    Attributes:
        store: The run directory.
        folder: The cell's own folder, created.
        cell: What is evaluated.
        findings: What the preflight says of the model; with it the attack is questioned after the first batch, and the
            findings are stored before that batch is. None: no diagnostics.
        origin: The words that make this job again; None where the study holds objects of this process.
    """

    store: Store
    folder: CellStore
    cell: Cell
    findings: Sequence[Finding] | None = None
    origin: Words | None = None

    @property
    def label(self) -> str:
        return self.cell.label

    @property
    def key(self) -> str:
        return self.cell.hash

    def identity(self) -> Mapping[str, Any]:
        return self.cell.identity()

    def needs(self) -> Sequence[Job | Artefact]:
        return ()

    def words(self) -> Words | None:
        return self.origin

    def parts(self) -> Sequence[Part]:
        return self._parts

    @cached_property
    def _parts(self) -> list[Part]:
        positions = torch.split(torch.arange(len(self.cell.data)), self.cell.settings.batch_size)
        return [Part(index, part) for index, part in enumerate(positions)]

    def lock(self, part: Part) -> AbstractContextManager[bool]:
        return self.folder.lock(part.index)

    def stored(self, part: Part) -> bool:
        """Whether the batch is stored; where images are wanted they are written from the store, and a batch that was stored
        without its images is not."""
        ids = self.cell.data.rows[part.positions].tolist()
        if not self._saves:
            return self.folder.holds(part.index, ids)
        if not self.folder.holds(part.index, ids, "adv_png"):
            return False
        rows = self.folder.part(part.index).rows.select(["id", "adv_png"]).to_pydict()
        self._save_images(rows)
        return True

    def compute(self, part: Part, scratch: Path) -> Computed:
        cell, settings = self.cell, self.cell.settings
        batch = cell.data.batch(part.positions).to(settings.device)
        done = evaluate_batch(cell.attack.value, cell.threat, batch, cell.goal, seed=settings.seed)
        check_unchanged(cell.threat.parts, cell.state)
        findings: list[Finding] = []
        if part.index == 0 and self.findings is not None:
            findings = [*self.findings, *check_run(cell, done)]
        rows = columns(done, settings.save_images, cell.metric_functions)
        return Computed(rows, [finding.to_json() for finding in findings])

    def keep(self, part: Part, computed: Computed, seconds: float) -> None:
        if part.index == 0 and self.findings is not None:
            self.folder.write_findings([dict(finding) for finding in computed.findings])
        if self._saves:
            self._save_images(computed.columns)
        self.folder.append(part.index, computed.columns, seconds=seconds)

    def keep_again(self, index: int, rows: Mapping[str, Any], seconds: float) -> None:
        """Replace a stored batch by rows that an audit has gone over."""
        if self._saves:
            self._save_images(rows)
        self.folder.append(index, rows, seconds=seconds)

    def compact(self) -> None:
        """Put the rows into one file once every batch is stored."""
        if self.folder.indices().issuperset(part.index for part in self.parts()):
            self.folder.compact()

    def fail(self, part: Part, error: str, traceback: str) -> None:
        self.folder.fail(part.index, error, traceback)
        if part.index == 0 and self.findings:
            self.folder.write_findings([finding.to_json() for finding in self.findings])

    @property
    def _saves(self) -> bool:
        return self.cell.settings.save_images and pictured(self.cell.data.shape)

    def _save_images(self, rows: Mapping[str, Any]) -> None:
        """Write the evaluated images as PNG: exactly the bytes the verdict was given on."""
        folder = self.store.images(self.cell.hash)
        files.check_unlinked(folder.parent, folder)
        folder.mkdir(parents=True, exist_ok=True)
        for sample, image in zip(rows["id"], rows["adv_png"], strict=True):
            if image is not None:
                files.write_in_place(folder / f"{int(sample)}.png", image)
