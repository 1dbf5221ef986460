"""Columns of a batch that was evaluated, as the store keeps them and as statistics read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vauban.core.pictures import pictured, png
from vauban.engine import Verdict
from vauban.evaluate.batch import Evaluated
from vauban.metrics.base import Metric
from vauban.metrics.sample import measure

SMALL = 64 * 64  # pixels up to which every image is kept for the report; above, the median and the worst of a batch


def judged_columns(done: Evaluated) -> dict[str, Tensor]:
    """The columns of the verdict on an evaluated batch, one value per sample each; `broken_by` is -1 for null."""
    target = done.goal.target
    return {
        "id": done.batch.ids,
        "y": done.batch.y,
        **verdict_columns(done.clean, done.verdict, done.noise_rejected),
        "broken_by": done.broken_by,
        "spared": done.spared,
        "audited": done.audited,
        **({} if target is None else {"target": target}),
    }


def verdict_columns(clean: Verdict, v: Verdict, noise_rejected: Tensor | None) -> dict[str, Tensor]:
    """Columns of two verdicts, on the originals and on the images, `(batch,)` each: an image outside the limit has the
    rates of its original. noise_rejected: of a network that rejects, how often it rejects noise of the same size."""

    def inside(name: str) -> Tensor:
        return torch.where(v.admissible, getattr(v, name), getattr(clean, name))

    told = {
        "clean_correct": 1 - clean.error,
        "misclassified": inside("misclassified"),
        "reached": inside("reached"),
        "clean_not_finite": clean.not_finite,
        "not_finite": inside("not_finite"),
        "success": v.success,
    }
    if noise_rejected is not None:
        told |= {"clean_rejected": clean.rejected, "noise_rejected": noise_rejected, "rejected": inside("rejected")}
        for name in ("excess", "class_reached"):
            told |= {f"clean_{name}": getattr(clean, name), name: inside(name)}
    return told


def columns(done: Evaluated, keep_all: bool = False, more: Mapping[str, Metric] | None = None) -> dict[str, Any]:
    """Columns of the store for an evaluated batch, see `vauban.store.schema`.

    Args:
        done: The evaluated batch.
        keep_all: Keep the images of every sample, also of large ones.
        more: Further metrics by column name; their values are null where the attack did not succeed.

    Returns:
        One value per sample for each column.
    """
    b, v, r = done.batch, done.verdict, done.result
    distance = measure(b.x, done.image)
    raw = measure(b.x, done.raw)
    inf, nan = float("inf"), float("nan")
    won = v.success
    out: dict[str, Any] = {
        **judged_columns(done),
        "clean_label": done.clean.label,
        "clean_confidence": done.clean.confidence.double(),
        "adv_label": v.label,
        "adv_confidence": v.confidence.double(),
        **{name: torch.where(won, distance[name], inf) for name in ("l0", "l1", "l2", "linf")},
        "raw_success": done.raw_verdict.success,
        **{f"raw_{name}": torch.where(done.raw_verdict.success, raw[name], inf) for name in ("l2", "linf")},
        "ssim": torch.where(won, distance["ssim"], nan),
        "psnr_db": torch.where(won, distance["psnr_db"], nan),
        "forwards": r.forwards,
        "backwards": r.backwards,
        "switches": done.switches,
        "vanished": done.vanished,
        "nonfinite_gradients": done.nonfinite_gradients,
        "unsolved": done.unsolved,
    }
    for name, metric in (more or {}).items():
        out[name] = torch.where(won, metric(b.x.clone(), done.image.clone()).double(), nan)
    host = {name: value.cpu().numpy() for name, value in out.items()}
    for name in ("ssim", "psnr_db", *(more or {})):
        host[name] = _nullable(host[name])
    host["first_success_backwards"] = _optional(r.first.cpu().numpy())
    host["broken_by"] = _optional(host["broken_by"])
    pictures = _examples(done, keep_all)
    host["clean_png"] = [png(b.x[i]) if i in pictures else None for i in range(len(b))]
    host["adv_png"] = [png(done.image[i]) if i in pictures else None for i in range(len(b))]
    return host


def _nullable(values: Any) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in values]


def _optional(values: Any) -> list[int | None]:
    return [int(v) if v >= 0 else None for v in values]


def _examples(done: Evaluated, keep_all: bool) -> set[int]:
    """Rows whose images go into the store: all of small images, else the median and the worst success of the batch."""
    x = done.batch.x
    if not pictured(x.shape[1:]):
        return set()
    if keep_all or x.shape[2] * x.shape[3] <= SMALL:
        return set(range(len(x)))
    size = done.norm.size(done.image - x)
    order = [int(i) for i in size.argsort() if bool(done.success[i]) and bool(done.attacked[i])]
    return {order[len(order) // 2], order[-1]} if order else set()
