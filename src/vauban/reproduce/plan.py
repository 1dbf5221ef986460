"""What a run has to do: every set of images once, every pair of images and judge once, whatever number of cells need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vauban.core.errors import ContractError
from vauban.jobs.identity import cell_hash
from vauban.reproduce.context import Context, CraftedImages, craft_identity, judge_identity, measure_identity
from vauban.reproduce.declarations import ATTAINED, Craft, Judge, TableCell
from vauban.reproduce.distances import MEASURES, Judged
from vauban.reproduce.runner import craft, judge, measure

Progress = Callable[[str, int, int], None]
"""(what is being done, images done, images in all): one pair each for training a network, crafting, judging, measuring."""

CLEAN = "clean"


@dataclass(frozen=True, eq=False)
class CellWork:
    """What one cell needs: images, the keys of their judged rows and of their measured ones, by seed, then by run of the
    attack (`TableCell.also`). clean: the key of the judged originals, for the metrics of ATTAINED."""

    images: list[list[CraftedImages]]
    judged: list[list[str]]
    clean: str | None
    measured: list[list[str]]


@dataclass(frozen=True, eq=False)
class Done:
    """rows: what each cell is computed from. seconds: what all of it took, in this run or an earlier one."""

    rows: list[Judged]
    seconds: float


@dataclass(frozen=True, eq=False)
class Plan:
    """asked: by cell. crafts, judges, measures: the work by content hash, in the order of the cells."""

    context: Context
    asked: list[CellWork] = field(default_factory=list)
    crafts: dict[str, tuple[CraftedImages, dict[str, Any]]] = field(default_factory=dict)
    judges: dict[str, tuple[CraftedImages, Judge, dict[str, Any]]] = field(default_factory=dict)
    measures: dict[str, tuple[CraftedImages, str, dict[str, Any]]] = field(default_factory=dict)

    def run(self, progress: Progress | None = None) -> Done:
        """Craft, then judge, then measure, what is not stored yet."""
        told = progress or (lambda *_: None)
        total, seconds = len(self.context.data), 0.0
        for k, (made, identity) in enumerate(self.crafts.values()):
            seconds += craft(
                self.context, made, identity, _ticks(told, "crafting", k * total, len(self.crafts) * total)
            )
        rows = {}
        for k, (key, (made, who, identity)) in enumerate(self.judges.items()):
            tick = _ticks(told, "judging", k * total, len(self.judges) * total)
            rows[key] = pa.concat_tables(judge(self.context, made, who, identity, tick))
        for k, (key, (made, name, identity)) in enumerate(self.measures.items()):
            tick = _ticks(told, "measuring", k * total, len(self.measures) * total)
            rows[key] = measure(self.context, made, name, identity, tick)
        seconds += sum(pc.sum(table["seconds"]).as_py() for table in rows.values())
        return Done([_collected(asked, rows) for asked in self.asked], seconds)


def plan(context: Context, cells: Sequence[TableCell], seeds: Sequence[int]) -> Plan:
    """The work of the cells. Crafts are made once for each seed, the clean images are judged once.

    Raises ContractError for a cell whose metric and crafts do not go together.
    """
    found = Plan(context)
    clean = CraftedImages(CLEAN, seeds[0])
    for cell in cells:
        attained = cell.metric in ATTAINED
        _check(cell, attained)
        made = [[clean]]
        if cell.craft is not None:
            made = [[_images(found, recipe, seed) for recipe in (cell.craft, *cell.also)] for seed in seeds]
        named = MEASURES.get(cell.metric)
        found.asked.append(
            CellWork(
                made,
                [[_pair(found, images, cell.judge) for images in runs] for runs in made],
                _pair(found, clean, cell.judge) if attained else None,
                [] if named is None else [[_measure(found, images, named) for images in runs] for runs in made],
            )
        )
    return found


def _check(cell: TableCell, attained: bool) -> None:
    if cell.also and not attained:
        raise ContractError(f"expected a metric among {', '.join(ATTAINED)} for several runs, got {cell.metric}")
    if attained and cell.craft is None:
        raise ContractError(f"expected a craft for {cell.metric}, got the clean images")
    if attained and len({craft.targeted for craft in (cell.craft, *cell.also) if craft is not None}) > 1:
        raise ContractError("expected runs of one goal in a cell, got targeted and untargeted ones")
    if cell.metric == "MAD_lower" and len(cell.also) != 1:
        raise ContractError(f"expected one run to compare with in `also` for MAD_lower, got {len(cell.also)}")
    if (cell.metric == "P_upp") != (cell.at is not None):
        raise ContractError(f"expected the distance `at` for P_upp and for it alone, got {cell.metric} at {cell.at}")


def _collected(asked: CellWork, rows: dict[str, pa.Table]) -> Judged:
    return Judged(
        [[rows[key] for key in runs] for runs in asked.judged],
        None if asked.clean is None else rows[asked.clean],
        [[rows[key]["value"].to_numpy() for key in runs] for runs in asked.measured],
    )


def _images(found: Plan, recipe: Craft, seed: int) -> CraftedImages:
    identity = craft_identity(found.context, recipe, seed)
    key = cell_hash(identity)
    return found.crafts.setdefault(key, (CraftedImages(key, seed, recipe), identity))[0]


def _pair(found: Plan, images: CraftedImages, who: Judge) -> str:
    identity = judge_identity(found.context, images, who)
    key = cell_hash(identity)
    found.judges.setdefault(key, (images, who, identity))
    return key


def _measure(found: Plan, images: CraftedImages, name: str) -> str:
    identity = measure_identity(found.context, images, name)
    key = cell_hash(identity)
    found.measures.setdefault(key, (images, name, identity))
    return key


def _ticks(told: Progress, what: str, done: int, total: int) -> Callable[[int], None]:
    def tick(n: int) -> None:
        nonlocal done
        done += n
        told(what, done, total)

    return tick
