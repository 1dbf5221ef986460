"""Planted tests of a study: of the attack that broke most at each budget, on images that all attacks left standing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from vauban.core.contracts import Computed, Part
from vauban.core.errors import VaubanError
from vauban.core.norms import Ball
from vauban.core.rng import fold
from vauban.evaluate.after_cell import AfterCell
from vauban.evaluate.cell import Cell
from vauban.evaluate.diagnostics.findings import LEAST
from vauban.evaluate.job import CellJob
from vauban.evaluate.planted.outcome import PlantedTest, blank
from vauban.evaluate.planted.trial import Trial
from vauban.evaluate.unchanged import check_unchanged
from vauban.jobs.identity import source_digests
from vauban.jobs.provenance import source_files
from vauban.statistics.combine import worst_case
from vauban.store.query import CellRows, read_cell


def planted_jobs(jobs: Sequence[CellJob], n: int) -> list[PlantedJob]:
    """The planted test of each judged network and budget, as the rows stand.

    Of the attacks at one budget the one with the lowest robust accuracy is tested, of equal ones the one that took most
    passes, on images that all of them leave standing; fewer than three say nothing.

    Args:
        jobs: The jobs of the cells.
        n: Images at most.
    """
    groups: dict[tuple[Any, ...], list[tuple[CellJob, CellRows]]] = defaultdict(list)
    for job in jobs:
        read = read_cell(job.folder, pictures=False)
        ball = planted_in(job.cell)
        if read.complete and ball is not None:
            cell = job.cell
            groups[cell.model.name, cell.defence.name, ball.norm.name, float(ball.radius)].append((job, read))
    tests = [_worst(members, norm, eps, n) for (_, _, norm, eps), members in groups.items()]
    return [test for test in tests if test is not None]


def planted_in(cell: Cell) -> Ball | None:
    """The ball of a cell in which images are planted: the attack's, else the data's for its norm; None: there is none.

    In L0, of p below 1, nothing is planted.
    """
    attack, data = cell.attack.value, cell.data
    radius = data.budgets.get(attack.norm.name) if attack.ball is None else attack.ball.radius
    return attack.norm(radius) if attack.norm.p >= 1 and isinstance(radius, int | float) else None


def _worst(members: Sequence[tuple[CellJob, CellRows]], norm: str, eps: float, n: int) -> PlantedJob | None:
    left = worst_case([read for _, read in members], norm, eps)
    standing = left.ids[left.robust > 0.5]
    if len(standing) < LEAST:
        return None

    def strongest_first(member: tuple[CellJob, CellRows]) -> tuple[float, float]:
        alone = worst_case([member[1]], norm, eps)
        return float(alone.robust.mean()), -float((alone.gradients + alone.queries).mean())

    job, _ = min(members, key=strongest_first)
    seed = job.cell.settings.seed
    drawn = sorted((int(i) for i in standing), key=lambda i: fold(seed, "planted", i))[:n]
    return PlantedJob(job, tuple(sorted(drawn)))


@dataclass(frozen=True, eq=False)
class PlantedJob(AfterCell):
    """The planted test of the attack of a cell: `ids` are the images near which an adversarial one is planted."""

    called: ClassVar[str] = "planted test"
    made_by: ClassVar[str] = "cell_planted"

    def identity(self) -> Mapping[str, Any]:
        return {
            "cell": self.job.key,
            "planted": list(self.ids),
            "sources": source_digests(source_files(Trial, PlantedTest)),
        }

    @cached_property
    def _parts(self) -> list[Part]:
        positions = np.isin(self.job.cell.data.rows.numpy(), self.ids).nonzero()[0]
        return [Part(0, torch.from_numpy(positions))]

    def stored(self, part: Part) -> bool:
        return (self.job.folder.planted() or {}).get("key") == self.key

    def compute(self, part: Part, scratch: Path) -> Computed:
        cell, settings, ball = self.job.cell, self.job.cell.settings, planted_in(self.job.cell)
        assert ball is not None

        batch = cell.data.batch(part.positions).to(settings.device)
        try:
            columns = Trial(cell.attack, cell.threat, cell.goal, ball, settings.seed).run(batch)
        except VaubanError as error:  # the cells are finished, and a test that cannot be made ends no run
            columns = blank(batch.ids.tolist())
            columns["reason"] = [str(error)] * len(batch)
        check_unchanged(cell.threat.parts, cell.state)
        return Computed(columns)

    def keep(self, part: Part, computed: Computed, seconds: float) -> None:
        test = PlantedTest.of(self.job.cell.attack.name, computed.columns)
        self.job.folder.write_planted({"key": self.key, "seconds": seconds, "test": test.to_json()})

    def fail(self, part: Part, error: str, traceback: str) -> None:
        """The rows of the cell are whole without it; the runner logs what failed, and the next run tries again."""
