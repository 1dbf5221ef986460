"""Plan of a table: every set of images once, every pair of images and judge once, whatever number of cells need it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from vauban.core.contracts import Artefact, Job, Part
from vauban.core.errors import ContractError, MissingExtra
from vauban.jobs.identity import address
from vauban.metrics.of_network.base import NetworkMetric
from vauban.reproduce.context import (
    Context,
    CraftedImages,
    craft_identity,
    judge_identity,
    measure_identity,
    network_measure_identity,
)
from vauban.reproduce.declarations import (
    ATTAINED,
    MAD_SHARES,
    MEASURES,
    RATES,
    Craft,
    Evaluation,
    FitOnUse,
    Judge,
    TableCell,
    of_network,
    of_pair,
)
from vauban.reproduce.fit_on_use import FittedAttack
from vauban.reproduce.jobs import CraftJob, JudgeJob, MeasureJob, NetworkMeasureJob
from vauban.reproduce.judged import Judged
from vauban.reproduce.study_job import StudyJob, studied_identity, within
from vauban.reproduce.table_job import TableJob
from vauban.words.network_metric import network_metric_of


@dataclass(frozen=True, eq=False)
class CellWork:
    """The jobs of one cell, by training seed and seed, then by run of the attack (`TableCell.also`).

    Attributes:
        crafts: Crafts; None stands for the originals.
        judged: Their judgements.
        clean: The judgements of the originals by training seed, for the metrics of ATTAINED.
        measured: Their measurements.
        lacking: The package that a network of the cell needs and that is not installed; the cell then has no jobs.
        within: The threats of a study that count; empty: all.
    """

    crafts: list[list[CraftJob | None]]
    judged: Sequence[Sequence[JudgeJob | StudyJob]]
    clean: list[JudgeJob]
    measured: list[list[MeasureJob | NetworkMeasureJob]]
    lacking: MissingExtra | None = None
    within: tuple[str, ...] = ()

    def jobs(self) -> Iterator[TableJob]:
        """Every job that the cell is computed from."""
        yield from (job for runs in self.crafts for job in runs if job is not None)
        yield from (job for runs in self.judged for job in runs)
        yield from (job for runs in self.measured for job in runs)
        yield from self.clean

    def rows(self) -> Judged:
        """What the cell is computed from, read from the store."""
        return Judged(
            [[within(job.rows(), self.within) if self.within else job.rows() for job in runs] for runs in self.judged],
            [job.rows() for job in self.clean],
            [[job.rows()["value"].to_numpy() for job in runs] for runs in self.measured],
        )


@dataclass(frozen=True, eq=False)
class Plan:
    """The work of a run.

    Attributes:
        context: Data, networks and folders.
        cells: The work of each cell, in the order of the cells.
        crafts, judges, measures, studies: The jobs by key, in the order in which cells need them.
        fits: What is fitted before it crafts.
        network_metrics: The metrics of a network by their words, so that their data are read once.
    """

    context: Context
    cells: list[CellWork] = field(default_factory=list)
    crafts: dict[str, CraftJob] = field(default_factory=dict)
    judges: dict[str, JudgeJob] = field(default_factory=dict)
    measures: dict[str, MeasureJob | NetworkMeasureJob] = field(default_factory=dict)
    studies: dict[str, StudyJob] = field(default_factory=dict)
    fits: dict[Craft, FittedAttack] = field(default_factory=dict)
    network_metrics: dict[str, NetworkMetric] = field(default_factory=dict)

    def jobs(self) -> list[TableJob]:
        """Every job: crafts, then judgements, measurements, studies."""
        return [*self.crafts.values(), *self.judges.values(), *self.measures.values(), *self.studies.values()]

    def seconds(self) -> float:
        """What all finished rows took, in this run or an earlier one."""
        tables = [_kept(job, part) for job in self.jobs() for part in job.parts()]
        return float(sum(pc.sum(table["seconds"]).as_py() for table in tables if table is not None))

    def craft(self, recipe: Craft, seed: int) -> CraftJob:
        """The job of a craft with a seed."""
        fitted = self._fit(recipe)
        identity = craft_identity(self.context, recipe, seed, fitted)
        key = address(identity)
        if key not in self.crafts:
            images = CraftedImages(key, seed, recipe)
            needs: list[Artefact] = [*self.context.networks.artefacts(t.network for t in recipe.through)]
            if fitted is not None:
                needs.append(fitted)
            self.crafts[key] = CraftJob(self.context, identity, needs, images=images, fitted=fitted)
        return self.crafts[key]

    def _fit(self, recipe: Craft) -> FittedAttack | None:
        if not isinstance(recipe.attack, FitOnUse):
            return None
        if recipe not in self.fits:
            self.fits[recipe] = FittedAttack(self.context, recipe)
        return self.fits[recipe]

    def judge(self, craft: CraftJob | None, judge: Judge, seed: int) -> JudgeJob:
        """The job of judging a craft, or the originals (None)."""
        identity = judge_identity(self.context, None if craft is None else craft.images, judge, seed)
        needs: list[Job | Artefact] = [*self.context.networks.artefacts(judge.networks)]
        if craft is not None:
            needs.append(craft)
        job = JudgeJob(self.context, identity, needs, craft=craft, judge=judge, seed=seed)
        return self.judges.setdefault(job.key, job)

    def study(self, study: Evaluation, judge: Judge, seed: int) -> StudyJob:
        """The job of evaluating a judge's network."""
        identity = studied_identity(self.context, study, judge, seed)
        needs = self.context.networks.artefacts(judge.networks)
        job = StudyJob(self.context, identity, needs, study=study, judge=judge, seed=seed)
        return self.studies.setdefault(job.key, job)

    def measure(self, craft: CraftJob, metric: str) -> MeasureJob | NetworkMeasureJob:
        """The job of measuring a craft."""
        identity = measure_identity(self.context, craft.images, metric)
        job = MeasureJob(self.context, identity, [craft], craft=craft, metric=metric)
        return self.measures.setdefault(job.key, job)

    def measure_network(
        self, craft: CraftJob | None, metric: str, network: str, seed: int
    ) -> MeasureJob | NetworkMeasureJob:
        """The job of measuring a network on a craft, or on the originals (None)."""
        if metric not in self.network_metrics:
            self.network_metrics[metric] = network_metric_of(metric, self.context.root).value
        read = self.network_metrics[metric]
        identity = network_measure_identity(self.context, None if craft is None else craft.images, read, network, seed)
        needs: list[Job | Artefact] = [*self.context.networks.artefacts([network])]
        if craft is not None:
            needs.append(craft)
        job = NetworkMeasureJob(self.context, identity, needs, craft=craft, metric=read, network=network, seed=seed)
        return self.measures.setdefault(job.key, job)


def _kept(job: TableJob, part: Part) -> pa.Table | None:
    """The stored rows of a part; None where it, or the images that it is about, were not made."""
    try:
        return job.folder.read(part.index, job.stamp(part))
    except ContractError:
        return None


def plan(context: Context, cells: Sequence[Sequence[TableCell]], seeds: Sequence[int]) -> Plan:
    """The work of the cells. Crafts are made once for each seed, the clean images are judged once.

    Args:
        context: The run.
        cells: Each cell with the networks of each training seed, see `training_seeds.seeded_cells`.
        seeds: Of the crafts.

    Raises:
        ContractError: A cell whose metric and crafts do not go together.
    """
    work = Plan(context)
    for seeded in cells:
        cell, roles = seeded[0], dict.fromkeys(role for one in seeded for role in one.roles)
        attained = cell.metric in ATTAINED
        _check(cell, attained)
        if (lacking := context.networks.not_installed(roles)) is not None:
            work.cells.append(CellWork([], [], [], [], lacking))
            continue
        if (study := cell.study) is not None:
            asked = [(one.judge, seed) for one in seeded for seed in seeds]
            judged = [[work.study(study, *what)] for what in asked]
            work.cells.append(CellWork([[None]] * len(asked), judged, [], [], within=cell.within))
            continue
        drawn = [(one, seed) for one in seeded for seed in (seeds if one.craft is not None else seeds[:1])]
        crafts = [_crafts(work, one, seed) for one, seed in drawn]
        runs_of = list(zip(drawn, crafts, strict=True))
        work.cells.append(
            CellWork(
                crafts,
                [[work.judge(craft, one.judge, seed) for craft in runs] for (one, seed), runs in runs_of],
                [work.judge(None, one.judge, seeds[0]) for one in seeded] if attained else [],
                [_measures(work, one, seed, runs) for (one, seed), runs in runs_of if _is_measured(one.metric)],
            )
        )
    return work


def _is_measured(metric: str) -> bool:
    return metric in MEASURES or of_network(metric) or of_pair(metric)


def _measures(
    work: Plan, cell: TableCell, seed: int, runs: Sequence[CraftJob | None]
) -> list[MeasureJob | NetworkMeasureJob]:
    """The measuring jobs of a cell's runs with a seed."""
    if of_network(cell.metric):
        return [work.measure_network(craft, cell.metric, cell.judge.networks[0], seed) for craft in runs]
    return [work.measure(craft, MEASURES.get(cell.metric, cell.metric)) for craft in runs if craft is not None]


def _crafts(work: Plan, cell: TableCell, seed: int) -> list[CraftJob | None]:
    """The jobs of a cell's runs with a seed; None for the originals."""
    return [None] if cell.craft is None else [work.craft(recipe, seed) for recipe in (cell.craft, *cell.also)]


def _check(cell: TableCell, attained: bool) -> None:
    if cell.study is not None and (cell.craft is not None or cell.metric not in RATES or len(cell.judge.networks) > 1):
        raise ContractError(
            f"expected one network, a rate and no craft beside a study, got {cell.judge}, {cell.metric}"
        )
    if cell.also and not attained:
        raise ContractError(f"expected a metric among {', '.join(ATTAINED)} for several runs, got {cell.metric}")
    if of_network(cell.metric) and (len(cell.judge.networks) > 1 or cell.judge.path):
        raise ContractError(f"expected one network behind no path for {cell.metric}, got {cell.judge}")
    if (attained or of_pair(cell.metric)) and cell.craft is None:
        raise ContractError(f"expected a craft for {cell.metric}, got the clean images")
    if attained and len({craft.targeted for craft in (cell.craft, *cell.also) if craft is not None}) > 1:
        raise ContractError("expected runs of one goal in a cell, got targeted and untargeted ones")
    if cell.metric in MAD_SHARES and len(cell.also) != 1:
        raise ContractError(f"expected one run to compare with in `also` for {cell.metric}, got {len(cell.also)}")
    if (cell.metric == "P_upp") != (cell.at is not None):
        raise ContractError(f"expected the distance `at` for P_upp and for it alone, got {cell.metric} at {cell.at}")
