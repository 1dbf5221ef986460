"""What all crafts and judges of a run share, and what names their folders: everything that can change a row, hashed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vauban import metrics
from vauban.core.contracts import Batch
from vauban.core.goals import RandomWrong
from vauban.core.rng import Stream
from vauban.data import Dataset
from vauban.jobs.identity import cell_hash, describe
from vauban.jobs.provenance import source_files
from vauban.reproduce import crafting, judging
from vauban.reproduce.declarations import Craft, Judge
from vauban.reproduce.declarations import Path as Before
from vauban.reproduce.networks import Networks
from vauban.reproduce.parts import CRAFTED, Parts
from vauban.store import sources

TARGET_SEED = 0


@dataclass(frozen=True, eq=False)
class CraftedImages:
    """A craft of one seed as it is stored: `key` names its folder; seed and craft None for the clean images."""

    key: str
    seed: int
    craft: Craft | None = None


@dataclass(frozen=True, eq=False)
class Context:
    """The data, the networks and the store of one run. `out/crafted` and `out/judged` are shared between experiments."""

    data: Dataset
    networks: Networks
    out: Path
    batch_size: int
    device: str = "cpu"
    _code: dict[str, list[Path]] = field(default_factory=dict, repr=False)
    _hashed: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)

    @cached_property
    def targets(self) -> Tensor:
        """The target of each image `(n,)`: the data set's own, else a wrong class drawn once, the same for every seed."""
        if self.data.targets is not None:
            return self.data.targets
        goal = RandomWrong().resolve(self.data.y, None, self.data.classes, Stream(TARGET_SEED, self.data.rows))
        assert goal.target is not None
        return goal.target

    @cached_property
    def common(self) -> dict[str, Any]:
        """What every identity shares: data, targets, partition, device type, torch's minor version."""
        return {
            "data": self.data.fingerprint,
            "targets": describe(self.targets),
            "batch_size": self.batch_size,
            "device": torch.device(self.device).type,
            "torch": torch.__version__.rsplit(".", 1)[0],
        }

    def batches(self) -> list[Tensor]:
        """Positions of the images of each batch."""
        return list(torch.split(torch.arange(len(self.data)), self.batch_size))

    def batch(self, index: Tensor) -> tuple[Batch, Tensor]:
        """The images at these positions and their targets, on the device."""
        return self.data.batch(index).to(self.device), self.targets[index].to(self.device)

    def crafted(self, images: CraftedImages) -> Parts:
        """Where a craft is stored."""
        return Parts(self.out / "crafted" / images.key, CRAFTED)

    def code(self, parts: Sequence[tuple[Any, Any]], file: str) -> dict[str, str]:
        """The source files behind (description, object) pairs, with their hashes; looked for once for every description."""
        whole = cell_hash({"parts": [description for description, _ in parts], "file": file})
        if whole not in self._hashed:
            self._hashed[whole] = sources.describe(sorted({Path(file).resolve(), *self._files(parts)}))
        return self._hashed[whole]

    def _files(self, parts: Iterable[tuple[Any, Any]]) -> set[Path]:
        found: set[Path] = set()
        for description, held in parts:
            key = cell_hash({"part": description})
            if key not in self._code:
                self._code[key] = source_files(held)
            found.update(self._code[key])
        return found


def craft_identity(context: Context, craft: Craft, seed: int) -> dict[str, Any]:
    """Everything that can change a saved image, the code included."""
    through = [
        {
            "network": context.networks.describe(t.network),
            "path": [[p.name, describe(p)] for p in t.path],
            "weight": t.weight,
            "bpda": t.bpda,
        }
        for t in craft.through
    ]
    what = {
        "attack": describe(craft.attack),
        "through": through,
        "targeted": craft.targeted,
        "draws": craft.draws,
        "clip": craft.clip,
        "mask": craft.mask,
        "grid": craft.grid,
        "keep": craft.keep,
        "saved": craft.saved,
    }
    parts = [(what["attack"], craft.attack)]
    for source in craft.through:
        parts += _described(context, source.network, source.path)
    return {**context.common, **what, "seed": seed, "sources": context.code(parts, crafting.__file__)}


def judge_identity(context: Context, images: CraftedImages, judge: Judge) -> dict[str, Any]:
    """Everything that can change an answer."""
    what = {
        "networks": [context.networks.describe(role) for role in judge.networks],
        "path": [[p.name, describe(p)] for p in judge.path],
        "rule": judge.rule,
    }
    parts = [part for role in judge.networks for part in _described(context, role, judge.path)]
    code = context.code(parts, judging.__file__)
    return {**context.common, **what, "images": images.key, "seed": images.seed, "sources": code}


def measure_identity(context: Context, images: CraftedImages, metric: str) -> dict[str, Any]:
    """Everything that can change a metric of the registry on saved images."""
    code = context.code([(metric, metrics.registry.get(metric).make)], __file__)
    return {**context.common, "metric": metric, "images": images.key, "seed": images.seed, "sources": code}


def _described(context: Context, role: str, path: tuple[Before, ...]) -> list[tuple[Any, Any]]:
    """A network and what stands before it, each with its description."""
    return [(context.networks.describe(role), context.networks[role]), *((describe(part), part) for part in path)]
