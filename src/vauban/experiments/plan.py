"""What a run has to do: every set of images once, every pair of images and judge once, whatever number of cells need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vauban.evaluate.identity import cell_hash
from vauban.experiments.bench import Bench, Images, craft_identity, judge_identity
from vauban.experiments.runner import craft, judge
from vauban.experiments.spec import Cell, Craft, Judge

Progress = Callable[[str, int, int], None]
"""(what is being done, images done, images in all): one pair of numbers for crafting, one for judging."""

CLEAN = "clean"


@dataclass(frozen=True, eq=False)
class Done:
    """rows: for each cell the judged rows of each seed. seconds: what all of it took, in this run or an earlier one."""

    rows: list[list[pa.Table]]
    seconds: float


@dataclass(frozen=True, eq=False)
class Plan:
    """images: by cell, one for each seed. crafts and judges: the work by content hash, in the order of the cells."""

    bench: Bench
    images: list[list[Images]] = field(default_factory=list)
    pairs: list[list[str]] = field(default_factory=list)
    crafts: dict[str, tuple[Images, dict[str, Any]]] = field(default_factory=dict)
    judges: dict[str, tuple[Images, Judge, dict[str, Any]]] = field(default_factory=dict)

    def run(self, progress: Progress | None = None) -> Done:
        """Craft, then judge, what is not stored yet."""
        told = progress or (lambda *_: None)
        total, seconds = len(self.bench.data), 0.0
        for k, (made, identity) in enumerate(self.crafts.values()):
            seconds += craft(self.bench, made, identity, _ticks(told, "crafting", k * total, len(self.crafts) * total))
        rows = {}
        for k, (key, (made, who, identity)) in enumerate(self.judges.items()):
            tick = _ticks(told, "judging", k * total, len(self.judges) * total)
            rows[key] = pa.concat_tables(judge(self.bench, made, who, identity, tick))
        seconds += sum(pc.sum(table["seconds"]).as_py() for table in rows.values())
        return Done([[rows[key] for key in keys] for keys in self.pairs], seconds)


def plan(bench: Bench, cells: Sequence[Cell], seeds: Sequence[int]) -> Plan:
    """The work of the cells. Crafts are made once for each seed, the clean images are judged once."""
    found = Plan(bench)
    for cell in cells:
        recipe = cell.craft
        clean = [Images(CLEAN, seeds[0])]
        made = clean if recipe is None else [_images(found, recipe, seed) for seed in seeds]
        found.images.append(made)
        found.pairs.append([_pair(found, images, cell.judge) for images in made])
    return found


def _images(found: Plan, recipe: Craft, seed: int) -> Images:
    identity = craft_identity(found.bench, recipe, seed)
    key = cell_hash(identity)
    return found.crafts.setdefault(key, (Images(key, seed, recipe), identity))[0]


def _pair(found: Plan, images: Images, who: Judge) -> str:
    identity = judge_identity(found.bench, images, who)
    key = cell_hash(identity)
    found.judges.setdefault(key, (images, who, identity))
    return key


def _ticks(told: Progress, what: str, done: int, total: int) -> Callable[[int], None]:
    def tick(n: int) -> None:
        nonlocal done
        done += n
        told(what, done, total)

    return tick
