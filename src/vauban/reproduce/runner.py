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
from vauban.jobs.identity import cell_hash
from vauban.reproduce import crafting, judging
from vauban.reproduce.context import Context, CraftedImages
from vauban.reproduce.declarations import Judge
from vauban.reproduce.parts import JUDGED, MEASURED, Parts

Tick = Callable[[int], None]
"""Told the number of images just finished."""


def craft(context: Context, images: CraftedImages, identity: dict[str, Any], tick: Tick) -> float:
    """Make the parts of a craft that are not stored yet; returns the seconds that all of them took."""
    recipe, parts = images.craft, context.crafted(images)
    assert recipe is not None
    with parts.open(identity):
        threat, spent = None, 0.0
        for i, index in enumerate(context.batches()):
            rows = parts.read(i)
            if rows is None:
                threat = threat or context.networks.threat(recipe)
                batch, target = context.batch(index)
                began = time.perf_counter()
                made = crafting.craft_batch(recipe, threat, batch, target, images.seed)
                seconds = (time.perf_counter() - began) / len(batch)
                columns = {
                    "id": batch.ids.tolist(),
                    "y": batch.y.tolist(),
                    "target": target.tolist(),
                    "image": made.image,
                    "linf": made.linf.double().tolist(),
                    "l2": made.l2.tolist(),
                    "forwards": made.forwards.tolist(),
                    "backwards": made.backwards.tolist(),
                    "seconds": [seconds] * len(batch),
                }
                rows = parts.write(i, columns)
            spent += float(pc.sum(rows["seconds"]).as_py())
            tick(len(index))
    return spent


def judge(context: Context, images: CraftedImages, who: Judge, identity: dict[str, Any], tick: Tick) -> list[pa.Table]:
    """The judged rows of a craft, or of the clean images, batch by batch; what is stored is not asked again.

    A part is judged again where its images are not those that were judged.
    """
    parts = Parts(context.out / "judged" / cell_hash(identity), JUDGED)
    found = []
    with parts.open(identity):
        members = None
        for i, index in enumerate(context.batches()):
            saved = None if images.craft is None else saved_part(context, images, i)
            stamp = "" if saved is None else _digest(saved)
            rows = parts.read(i, stamp)
            if rows is None:
                members = members or context.networks.judges(who)
                rows = parts.write(i, _opinions(context, who, members, images.seed, i, index, saved), stamp)
            found.append(rows)
            tick(len(index))
    return found


def measure(context: Context, images: CraftedImages, metric: str, identity: dict[str, Any], tick: Tick) -> pa.Table:
    """A metric of the registry between the originals and a craft; what is stored is not measured again."""
    parts = Parts(context.out / "measured" / cell_hash(identity), MEASURED)
    function, found = metrics.registry.get(metric).make, []
    with parts.open(identity):
        for i, index in enumerate(context.batches()):
            saved = saved_part(context, images, i)
            stamp = _digest(saved)
            rows = parts.read(i, stamp)
            if rows is None:
                batch, _ = context.batch(index)
                began = time.perf_counter()
                value = function(batch.x, crafting.reload(saved["image"].to_pylist()).to(context.device))
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
    context: Context, who: Judge, members: list[nn.Module], seed: int, i: int, index: Tensor, saved: pa.Table | None
) -> dict[str, Any]:
    began = time.perf_counter()
    if saved is None:
        batch, target = context.batch(index)
        x, linf = batch.x, [0.0] * len(index)
        l2 = linf
    else:
        x = crafting.reload(saved["image"].to_pylist()).to(context.device)
        target = context.targets[index].to(context.device)
        linf, l2 = saved["linf"].to_pylist(), saved["l2"].to_pylist()
    found = judging.opinions(members, who.rule, x, target, seed=seed, batch=i)
    return {
        "id": context.data.rows[index].tolist(),
        "y": context.data.y[index].tolist(),
        "target": target.tolist(),
        "label": found.label.tolist(),
        "p_target": found.p_target.tolist(),
        "p_label": found.p_label.tolist(),
        "linf": linf,
        "l2": l2,
        "seconds": [(time.perf_counter() - began) / len(index)] * len(index),
    }


def saved_part(context: Context, images: CraftedImages, i: int) -> pa.Table:
    """A stored part of a craft. Raises ContractError where it has gone since it was made."""
    rows = context.crafted(images).read(i)
    if rows is None:
        raise ContractError(f"{context.crafted(images).path}: part {i} has gone; run the same command again")
    return rows


def _digest(saved: pa.Table) -> str:
    digest = hashlib.sha256()
    for data in saved["image"].to_pylist():
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()
