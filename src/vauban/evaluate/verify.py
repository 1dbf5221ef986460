"""Judge adversarial images that somebody else made."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vauban.core.arguments import named_arguments
from vauban.core.arrays import tensor_of, within_tolerance
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, exits_are_errors, plural
from vauban.core.goals import ResolvedGoal
from vauban.core.norms import Ball, Linf, norm_by_name
from vauban.core.pictures import pictured, png
from vauban.core.pixel_grid import on_grid
from vauban.core.precision import HALF, raised
from vauban.core.rng import Stream
from vauban.core.text import parse_value
from vauban.core.tolerance import upper_limit
from vauban.engine import BoundThreat, Verdict, judge
from vauban.evaluate.adversarial_files import images_of, read_images
from vauban.evaluate.columns import verdict_columns
from vauban.evaluate.diagnostics.attack_checks import radius_findings
from vauban.evaluate.diagnostics.first_look import LOOKED_AT, first_look, tell
from vauban.evaluate.shuffled_change import shuffled
from vauban.evaluate.unchanged import check_unchanged, state_of
from vauban.evaluate.verification import Verification
from vauban.statistics.summary import broken, fooled_or_rejected, lost, rejected, robust
from vauban.words import data as datasets
from vauban.words.model import model_of, tell_behind


def parse_budget(text: str) -> Ball:
    """`linf:8/255` -> Linf(8/255)."""
    name, colon, radius = text.partition(":")
    value = parse_value(radius) if colon else None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ContractError(f"expected a budget like linf:8/255, got {text!r}")
    return norm_by_name(name)(float(value))


@named_arguments
@exits_are_errors()
def verify(
    model: nn.Module | str, data: Any, adversarial: Any, budget: Ball | str, rejects: bool = False
) -> Verification:
    """Judge images `(n, ...)` in [0,1], in the order of the data, against the data's originals and labels.

    adversarial: a tensor, an array or a file (see `read_images`). rejects: the model's last logit means
    'rejected'. Raises ContractError when count or shape do not match, and StateChanged where the model's weights or
    buffers are no longer those that it began with.
    """
    ball = parse_budget(budget) if isinstance(budget, str) else budget
    if not isinstance(ball, Ball):
        raise ContractError(
            f"expected a budget as a ball, such as Linf(8/255), or a text like linf:8/255, got {ball!r}"
        )
    named, data = model_of(model, rejects), datasets.load(data)
    tell_behind(named.name, named.behind)
    model = named.value
    file = isinstance(adversarial, (str, Path))
    x = read_images(Path(adversarial), data) if file else images_of(tensor_of(adversarial, "images"), data)
    if len(x) != len(data) or tuple(x.shape[1:]) != tuple(data.shape):
        raise ContractError(
            f"expected {plural(len(data), 'image')} of shape {tuple(data.shape)} for this data, got {tuple(x.shape)}; "
            "slice the data like the images were made, e.g. mnist/test[:500]"
        )
    threat = BoundThreat(model, levels=None)
    state = state_of(threat.parts)
    threat, findings = first_look(threat, data.take(LOOKED_AT), "labels", classes=data.known_classes, labels=data.y)
    tell([*findings, *radius_findings(ball, data.shape, len(data))])
    parts = [
        _judged(threat, ball, given, batch) for given, batch in zip(torch.split(x, 128), data.batches(128), strict=True)
    ]
    check_unchanged(threat.parts, state)
    rows = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    share = {name: float(rows[name].double().mean()) for name in rows}
    grid = math.floor(upper_limit(float(ball.radius)) * 255) / 255 if ball.norm is Linf else None
    return Verification(
        samples=len(x),
        largest_distance=float(rows["distance"].max()),
        clean_accuracy=share["clean_correct"],
        robust_accuracy=share["robust"],
        largest_distance_saved=float(rows["distance_saved"].max()),
        largest_budget_on_grid=grid,
        budget=str(ball),
        rows={name: column.tolist() for name, column in rows.items()},
        in_range=share["in_range"],
        in_budget=share["in_budget"],
        on_grid=share["on_grid"],
        misclassified=share["misclassified"],
        success=share["success"],
        success_reloaded=share["success_reloaded"],
        in_budget_saved=share["in_budget_saved"],
        clean_not_finite=share["clean_not_finite"],
        not_finite=share["not_finite"],
        clean_rejected=share.get("clean_rejected"),
        rejected=share.get("rejected"),
        fooled_or_rejected=share.get("fooled_or_rejected"),
        noise_rejected=share.get("noise_rejected"),
    )


def _judged(threat: BoundThreat, ball: Ball, given: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The columns of one batch, `(batch,)` each."""
    given = _levels(given, batch.levels).to(batch.x.dtype)
    finite = torch.isfinite(given).flatten(1).all(1)
    given = within_tolerance(torch.nan_to_num(given, nan=-1.0))
    goal, bound = ResolvedGoal(batch.y, rejects=threat.rejects), ball.bind(batch.x)
    clean = judge(threat, batch.x, batch.x, goal)
    verdict = judge(threat, batch.x, given, goal, limit=ball)
    saved = _reload(given) if pictured(given.shape[1:]) else given
    again = judge(threat, batch.x, saved, goal, limit=ball)
    inside = finite & bound.contains(given, batch.x)
    inside_saved = finite & bound.contains(saved, batch.x)
    noise = shuffled(batch.x, given, Stream(0, batch.ids)) if threat.rejects else None
    noisy = None if noise is None else judge(threat, batch.x, noise, goal).rejected
    columns = {"id": batch.ids, **verdict_columns(clean, verdict, noisy)}
    return {
        "id": batch.ids,
        "y": batch.y,
        "label": verdict.label,
        "in_range": finite & ((given >= 0) & (given <= 1)).flatten(1).all(1),
        "in_budget": inside,
        "in_budget_saved": inside_saved,
        "leaves_when_saved": inside & ~inside_saved,
        "on_grid": finite & torch.tensor([on_grid(image, 256) for image in given]),
        "distance": ball.norm.size(given - batch.x).where(finite, torch.inf).double(),
        "distance_saved": ball.norm.size(saved - batch.x).where(finite, torch.inf).double(),
        "clean_correct": 1 - clean.error,
        "misclassified": verdict.misclassified,
        "success": verdict.success,
        "success_reloaded": verdict.success & again.success,
        "robust": torch.from_numpy(robust({name: values.numpy() for name, values in columns.items()})),
        "clean_not_finite": clean.not_finite,
        "not_finite": verdict.not_finite,
        **({} if noisy is None else _rejections(clean, verdict, columns)),
    }


def _rejections(clean: Verdict, verdict: Verdict, columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The columns of a model that rejects images, `(batch,)` each."""
    told = {name: values.numpy() for name, values in columns.items()}
    either = lost(told, fooled_or_rejected(broken(told), rejected(told)[1]))
    return {
        "clean_rejected": clean.rejected,
        "rejected": verdict.rejected * verdict.admissible,
        "fooled_or_rejected": torch.from_numpy(either),
        "noise_rejected": columns["noise_rejected"],
    }


def _levels(given: Tensor, levels: int | None) -> Tensor:
    """Images of half precision as the pixel levels that they stand for; others, and those between levels, as they are."""
    half = given.dtype in HALF and levels is not None and bool(given.isfinite().all())
    return raised(given, levels) if half and levels is not None and on_grid(given, levels) else given


def _reload(x: Tensor) -> Tensor:
    pixels = [np.asarray(Image.open(io.BytesIO(png(image)))) for image in x]
    stacked = torch.from_numpy(np.stack(pixels)).to(x.dtype) / 255
    return stacked[:, None] if x.shape[1] == 1 else stacked.permute(0, 3, 1, 2).contiguous()
