"""Running the crafts and the judges of an experiment into the store that all experiments share."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor, nn

from vauban import metrics
from vauban.core.errors import ContractError
from vauban.evaluate.identity import cell_hash
from vauban.experiments import crafting, judging
from vauban.experiments.bench import Bench, Images
from vauban.experiments.parts import JUDGED, MEASURED, Parts
from vauban.experiments.spec import Judge

Tick = Callable[[int], None]
"""Told the number of images just finished."""


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
                    "id": batch.ids.tolist(), "y": batch.y.tolist(), "target": target.tolist(), "image": made.image,
                    "linf": made.linf.double().tolist(), "l2": made.l2.tolist(), "forwards": made.forwards.tolist(),
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


def measure(bench: Bench, images: Images, metric: str, identity: dict[str, Any], tick: Tick) -> pa.Table:
    """A metric of the registry between the originals and a craft; what is stored is not measured again."""
    parts = Parts(bench.out / "measured" / cell_hash(identity), MEASURED)
    function, found = metrics.registry.get(metric).make, []
    with parts.open(identity):
        for i, index in enumerate(bench.batches()):
            saved = saved_part(bench, images, i)
            stamp = _digest(saved)
            rows = parts.read(i, stamp)
            if rows is None:
                batch, _ = bench.batch(index)
                began = time.perf_counter()
                value = function(batch.x, crafting.reload(saved["image"].to_pylist()).to(bench.device))
                seconds = (time.perf_counter() - began) / len(index)
                columns = {
                    "id": batch.ids.tolist(),
                    "value": value.double().tolist(),
                    "seconds": [seconds] * len(index),
                }
                rows = parts.write(i, columns, stamp)
            found.append(rows)
            tick(len(index))
    return pa.concat_tables(found)


def _opinions(
    bench: Bench, who: Judge, members: list[nn.Module], seed: int, i: int, index: Tensor, saved: pa.Table | None
) -> dict[str, Any]:
    began = time.perf_counter()
    if saved is None:
        batch, target = bench.batch(index)
        x, linf = batch.x, [0.0] * len(index)
        l2 = linf
    else:
        x = crafting.reload(saved["image"].to_pylist()).to(bench.device)
        target = bench.targets[index].to(bench.device)
        linf, l2 = saved["linf"].to_pylist(), saved["l2"].to_pylist()
    found = judging.ask(members, who.rule, x, target, seed=seed, batch=i)
    return {
        "id": bench.data.rows[index].tolist(), "y": bench.data.y[index].tolist(), "target": target.tolist(),
        "label": found.label.tolist(), "p_target": found.p_target.tolist(), "p_label": found.p_label.tolist(),
        "linf": linf, "l2": l2, "seconds": [(time.perf_counter() - began) / len(index)] * len(index),
    }  # fmt: skip


def saved_part(bench: Bench, images: Images, i: int) -> pa.Table:
    """A stored part of a craft. Raises ContractError where it has gone since it was made."""
    rows = bench.crafted(images).read(i)
    if rows is None:
        raise ContractError(f"{bench.crafted(images).path}: part {i} has gone; run the same command again")
    return rows


def _digest(saved: pa.Table) -> str:
    digest = hashlib.sha256()
    for data in saved["image"].to_pylist():
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()
