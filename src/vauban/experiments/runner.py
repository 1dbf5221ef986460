"""Running the crafts and the judges of an experiment into the store that all experiments share."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.goals import RandomWrong
from vauban.core.rng import Stream
from vauban.data import Dataset
from vauban.evaluate.identity import cell_hash, describe
from vauban.evaluate.provenance import source_files
from vauban.experiments import crafting, judging
from vauban.experiments.networks import Networks
from vauban.experiments.parts import CRAFTED, JUDGED, Parts
from vauban.experiments.spec import Craft, Judge
from vauban.store import sources

Tick = Callable[[int], None]
"""Told the number of images just finished."""

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
    _code: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)

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

    def code(self, what: dict[str, Any], held: list[Any], file: str) -> dict[str, str]:
        """The source files behind the objects held, with their hashes; read once for every `what`."""
        key = cell_hash(what)
        if key not in self._code:
            self._code[key] = sources.describe(source_files(*held, extra=[Path(file)]))
        return self._code[key]


def craft_identity(bench: Bench, craft: Craft, seed: int) -> dict[str, Any]:
    """Everything that can change a saved image, the code included."""
    through = [
        {"network": bench.networks.describe(t.network), "path": [[p.name, describe(p)] for p in t.path],
         "weight": t.weight, "bpda": t.bpda}
        for t in craft.through
    ]  # fmt: skip
    what = {
        "attack": describe(craft.attack), "through": through, "targeted": craft.targeted, "draws": craft.draws,
        "clip": craft.clip, "mask": craft.mask,
    }  # fmt: skip
    paths = [p for t in craft.through for p in t.path]
    held = [craft.attack, *paths, *(bench.networks[t.network] for t in craft.through)]
    return {**bench.common, **what, "seed": seed, "sources": bench.code(what, held, crafting.__file__)}


def judge_identity(bench: Bench, images: Images, judge: Judge) -> dict[str, Any]:
    """Everything that can change an answer."""
    what = {
        "networks": [bench.networks.describe(role) for role in judge.networks],
        "path": [[p.name, describe(p)] for p in judge.path], "rule": judge.rule,
    }  # fmt: skip
    held = [*judge.path, *bench.networks.judges(judge)]
    code = bench.code(what, held, judging.__file__)
    return {**bench.common, **what, "images": images.key, "seed": images.seed, "sources": code}


def craft(bench: Bench, images: Images, identity: dict[str, Any], tick: Tick) -> float:
    """Make the parts of a craft that are not stored yet; returns the seconds that all of them took."""
    recipe, parts = images.craft, bench.crafted(images)
    assert recipe is not None
    with parts.open(identity):
        threat, spent = None, 0.0
        for i, index in enumerate(bench.batches()):
            rows = parts.read(i)
            if rows is None:
                threat = threat or bench.networks.threat(recipe)
                batch, target = bench.batch(index)
                began = time.perf_counter()
                made = crafting.craft_batch(recipe, threat, batch, target, images.seed)
                seconds = (time.perf_counter() - began) / len(batch)
                columns = {
                    "id": batch.ids.tolist(), "y": batch.y.tolist(), "target": target.tolist(), "png": made.png,
                    "linf": made.linf.double().tolist(), "forwards": made.forwards.tolist(),
                    "backwards": made.backwards.tolist(), "seconds": [seconds] * len(batch),
                }  # fmt: skip
                rows = parts.write(i, columns)
            spent += float(pc.sum(rows["seconds"]).as_py())
            tick(len(index))
    return spent


def judge(bench: Bench, images: Images, who: Judge, identity: dict[str, Any], tick: Tick) -> list[pa.Table]:
    """The judged rows of a craft, or of the clean images, batch by batch; what is stored is not asked again.

    A part is judged again where its images are not those that were judged.
    """
    parts = Parts(bench.out / "judged" / cell_hash(identity), JUDGED)
    found = []
    with parts.open(identity):
        members = None
        for i, index in enumerate(bench.batches()):
            saved = None if images.craft is None else saved_part(bench, images, i)
            stamp = "" if saved is None else _digest(saved)
            rows = parts.read(i, stamp)
            if rows is None:
                members = members or bench.networks.judges(who)
                rows = parts.write(i, _opinions(bench, who, members, images.seed, i, index, saved), stamp)
            found.append(rows)
            tick(len(index))
    return found


def _opinions(
    bench: Bench, who: Judge, members: list[nn.Module], seed: int, i: int, index: Tensor, saved: pa.Table | None
) -> dict[str, Any]:
    began = time.perf_counter()
    if saved is None:
        batch, target = bench.batch(index)
        x, linf = batch.x, [0.0] * len(index)
    else:
        x = crafting.reload(saved["png"].to_pylist()).to(bench.device)
        target, linf = bench.targets[index].to(bench.device), saved["linf"].to_pylist()
    found = judging.ask(members, who.rule, x, target, seed=seed, batch=i)
    return {
        "id": bench.data.rows[index].tolist(), "y": bench.data.y[index].tolist(), "target": target.tolist(),
        "label": found.label.tolist(), "p_target": found.p_target.tolist(), "p_label": found.p_label.tolist(),
        "linf": linf, "seconds": [(time.perf_counter() - began) / len(index)] * len(index),
    }  # fmt: skip


def saved_part(bench: Bench, images: Images, i: int) -> pa.Table:
    """A stored part of a craft. Raises ContractError where it has gone since it was made."""
    rows = bench.crafted(images).read(i)
    if rows is None:
        raise ContractError(f"{bench.crafted(images).path}: part {i} has gone; run the same command again")
    return rows


def _digest(saved: pa.Table) -> str:
    digest = hashlib.sha256()
    for data in saved["png"].to_pylist():
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()
