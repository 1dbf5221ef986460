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
from vauban.evaluate.identity import cell_hash, describe
from vauban.evaluate.provenance import source_files
from vauban.experiments import crafting, judging
from vauban.experiments.networks import Networks
from vauban.experiments.parts import CRAFTED, Parts
from vauban.experiments.spec import Craft, Judge
from vauban.experiments.spec import Path as Before
from vauban.store import sources

TARGET_SEED = 0


@dataclass(frozen=True, eq=False)
class Images:
    """A craft of one seed as it is stored: `key` names its folder; seed and craft None for the clean images."""

    key: str
    seed: int
    craft: Craft | None = None


@dataclass(frozen=True, eq=False)
class Bench:
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
        aim = RandomWrong().resolve(self.data.y, None, self.data.classes, Stream(TARGET_SEED, self.data.rows))
        assert aim.target is not None
        return aim.target

    @cached_property
    def common(self) -> dict[str, Any]:
        """What every identity shares: data, targets, partition, device type, torch's minor version."""
        return {
            "data": self.data.fingerprint, "targets": describe(self.targets), "batch_size": self.batch_size,
            "device": torch.device(self.device).type, "torch": torch.__version__.rsplit(".", 1)[0],
        }  # fmt: skip

    def batches(self) -> list[Tensor]:
        """Positions of the images of each batch."""
        return list(torch.split(torch.arange(len(self.data)), self.batch_size))

    def batch(self, index: Tensor) -> tuple[Batch, Tensor]:
        """The images at these positions and their targets, on the device."""
        return self.data.batch(index).to(self.device), self.targets[index].to(self.device)

    def crafted(self, images: Images) -> Parts:
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


def craft_identity(bench: Bench, craft: Craft, seed: int) -> dict[str, Any]:
    """Everything that can change a saved image, the code included."""
    through = [
        {"network": bench.networks.describe(t.network), "path": [[p.name, describe(p)] for p in t.path],
         "weight": t.weight, "bpda": t.bpda}
        for t in craft.through
    ]  # fmt: skip
    what = {
        "attack": describe(craft.attack), "through": through, "targeted": craft.targeted, "draws": craft.draws,
        "clip": craft.clip, "mask": craft.mask, "grid": craft.grid, "keep": craft.keep, "saved": craft.saved,
    }  # fmt: skip
    parts = [(what["attack"], craft.attack)]
    for source in craft.through:
        parts += _described(bench, source.network, source.path)
    return {**bench.common, **what, "seed": seed, "sources": bench.code(parts, crafting.__file__)}


def judge_identity(bench: Bench, images: Images, judge: Judge) -> dict[str, Any]:
    """Everything that can change an answer."""
    what = {
        "networks": [bench.networks.describe(role) for role in judge.networks],
        "path": [[p.name, describe(p)] for p in judge.path], "rule": judge.rule,
    }  # fmt: skip
    parts = [part for role in judge.networks for part in _described(bench, role, judge.path)]
    code = bench.code(parts, judging.__file__)
    return {**bench.common, **what, "images": images.key, "seed": images.seed, "sources": code}


def measure_identity(bench: Bench, images: Images, metric: str) -> dict[str, Any]:
    """Everything that can change a metric of the registry on saved images."""
    code = bench.code([(metric, metrics.registry.get(metric).make)], __file__)
    return {**bench.common, "metric": metric, "images": images.key, "seed": images.seed, "sources": code}


def _described(bench: Bench, role: str, path: tuple[Before, ...]) -> list[tuple[Any, Any]]:
    """A network and what stands before it, each with its description."""
    return [(bench.networks.describe(role), bench.networks[role]), *((describe(part), part) for part in path)]
