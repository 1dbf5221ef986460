"""One run of a study: batches that are not stored yet, and what waits for all of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vauban.core.contracts import Words
from vauban.core.errors import VaubanError
from vauban.evaluate.audit import due_audits
from vauban.evaluate.cell import Cell
from vauban.evaluate.diagnostics.checks import Preflight, check_study
from vauban.evaluate.diagnostics.findings import Finding
from vauban.evaluate.drift import check_drift
from vauban.evaluate.job import CellJob
from vauban.evaluate.magnified import magnify_examples
from vauban.evaluate.opening import open_cell
from vauban.evaluate.planted.job import planted_jobs
from vauban.evaluate.queries import drifts
from vauban.jobs import runner
from vauban.jobs.executors import Executor
from vauban.jobs.executors.kept import kept
from vauban.jobs.progress import Tell
from vauban.jobs.runner import Outcome
from vauban.jobs.shard import Shard
from vauban.store.query import read_cell
from vauban.threats.access import WhiteBox
from vauban.threats.auto import Auto

if TYPE_CHECKING:
    from vauban.evaluate.study import Study

log = logging.getLogger("vauban")


@dataclass(eq=False)
class StudyRun:
    """One run of a study.

    Attributes:
        study: The study, planned.
        hashes: The address of each cell, in the order of the plan; that of a model which the preflight finds to be random
            changes when its turn comes.
        jobs: The jobs of the cells whose turn has come.
        asked: Cells of services of which something is computed in this run.
    """

    study: Study
    hashes: list[str] = field(init=False)
    jobs: list[CellJob] = field(default_factory=list, init=False)
    asked: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.hashes = [cell.hash for cell in self.study.cells]

    def carry_out(self, work: Executor, tell: Tell | None, shard: Shard | None) -> list[Outcome]:
        """Compute what is missing.

        Args:
            work: Computes the batches.
            tell: Told of every finished batch.
            shard: This process's share of them; what waits for all batches is then left.

        Returns:
            How each cell ended.
        """
        self._write_plan()
        with kept(work) as held:
            outcomes = runner.run(self._opened(), held, tell, shard)
            if shard is None:
                self._finish(outcomes, held, tell)
        return outcomes

    def _finish(self, outcomes: list[Outcome], work: Executor, tell: Tell | None) -> None:
        """What waits for all batches: findings between cells, audits, planted tests, drift, magnified examples."""
        study = self.study
        self._check()
        while audits := due_audits(study.store, self.jobs):
            ended = runner.run(audits, work, tell)
            if any(outcome.state == "failed" for outcome in ended):
                outcomes += [outcome for outcome in ended if outcome.state == "failed"]
                break
            self._check()
        if study.planted and runner.run(planted_jobs(self.jobs, study.planted), work, tell):
            self._check()
        if study.preflight and (asked := [job for job in self.jobs if job.key in self.asked]):
            check_drift(asked)
            self._check()
        magnify_examples(study.store, self.hashes, study.settings.device)
        for job in self.jobs:
            job.compact()

    def _check(self) -> None:
        """Compare the finished cells and store what contradicts."""
        if self.study.preflight:
            check_study(self.study.store, [self.study.store.cell(key) for key in self.hashes])

    def _opened(self) -> Iterator[CellJob]:
        """A job for each cell, opened when its turn comes."""
        preflight, store = Preflight(), self.study.store
        for i, planned in enumerate(self.study.cells):
            cell, findings = self._look(preflight, planned)
            folder, opened = open_cell(store, cell)
            if drifts(cell.defended) and not read_cell(folder, pictures=False).complete:
                self.asked.add(opened.hash)
            if opened.hash != self.hashes[i]:
                self.hashes[i] = opened.hash
                self._write_plan()
            if self.jobs and self.jobs[-1].cell.attack.value.audit is None:  # an audit would write parts of it anew
                self.jobs[-1].compact()
            self.jobs.append(CellJob(store, folder, opened, findings, self._origin(i, opened, findings)))
            yield self.jobs[-1]

    def _origin(self, index: int, cell: Cell, findings: Sequence[Finding] | None) -> Words | None:
        if self.study.words is None:
            return None
        told = None if findings is None else [finding.to_json() for finding in findings]
        random = cell.threat.random and not self.study.cells[index].threat.random
        facts = {"cell": index, "random": random, "salt": cell.salt, "findings": told}
        return Words("vauban.evaluate.study_in_worker:cell_job", {"study": self.study.words, **facts})

    def _write_plan(self) -> None:
        self.study.store.write_study(self.study.plan() | {"cells": self.hashes})

    def _look(self, looked: Preflight, cell: Cell) -> tuple[Cell, Sequence[Finding] | None]:
        """The cell and what the preflight says of its model; None where nothing was asked or the model failed."""
        try:
            if not self.study.preflight or cell.lacking is not None or self._paid(cell):
                return cell, None
            checked, findings = looked.check(cell)
            seen = self.study.adapted.get(f"{cell.model.name} | {cell.defence.name}")
            direct = isinstance(cell.named_threat.value, (WhiteBox, Auto))
            return checked, [*findings, *(seen.findings if seen is not None and direct else ())]
        except (VaubanError, KeyboardInterrupt):
            raise
        except BaseException as error:
            reason = str(error).splitlines()[0] if str(error) else ""
            log.error("%s: preflight failed: %s: %s (going on without)", cell.label, type(error).__name__, reason)
            return cell, None

    def _paid(self, cell: Cell) -> bool:
        """Whether a cell of a service is stored whole, so that asking again would only cost."""
        folder = self.study.store.cell(cell.hash)
        return drifts(cell.defended) and folder.exists and read_cell(folder, pictures=False).complete
