"""One batch of a cell: clean answers, the attack on what still stands, the verdict on the saved image, the columns."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.goals import Goal, ResolvedGoal
from vauban.core.norms import Norm
from vauban.core.pixel_grid import PixelGrid, check_on_grid
from vauban.core.precision import HALF, raised, rounded_to
from vauban.core.rng import fold
from vauban.engine import Attack, BoundThreat, Oracle, Result, Verdict, judge
from vauban.engine.result import untouched
from vauban.evaluate.handover import handed_over
from vauban.evaluate.shuffled_change import shuffled
from vauban.metrics.base import Metric
from vauban.metrics.sample import measure

SMALL = 64 * 64  # pixels up to which every image is kept for the report; above, the median and the worst of a batch


@dataclass(frozen=True)
class Evaluated:
    """A batch after its attack, all tensors batch-leading.

    image: what would be saved. raw: before rounding. given: type in which the images came; images of half precision are
    held in float32, and what is judged passes through their type. noise_rejected: how often the network rejects noise of
    the size of the attack's change, None where it rejects nothing. broken_by: number of the stage that broke the image, -1
    where none did and for an attack of one stage.
    """

    batch: Batch
    goal: ResolvedGoal
    result: Result
    clean: Verdict
    image: Tensor
    verdict: Verdict
    raw: Tensor
    raw_verdict: Verdict
    noise_rejected: Tensor | None
    attacked: Tensor
    switches: Tensor
    vanished: Tensor
    nonfinite_gradients: Tensor
    unsolved: Tensor
    broken_by: Tensor
    norm: Norm
    given: torch.dtype

    @property
    def success(self) -> Tensor:
        return self.verdict.success


def evaluate_batch(
    attack: Attack, threat: BoundThreat, batch: Batch, goal: Goal, *, seed: int = 0, mask: Tensor | None = None
) -> Evaluated:
    """Attack the samples whose goal is not already reached, and judge what the attack hands over.

    The image judged is the best successful one, the attack's own where it claims none. The limit enforced is the
    attack's ball, else the threat's. A sample whose goal is reached untouched costs nothing and has distance 0; one whose
    label is the target is not attacked either, and is no success.
    """
    given = batch.x.dtype
    if given in HALF:
        threat = replace(threat, half=given)
        batch = replace(batch, x=raised(check_on_grid(batch.x, batch.levels), batch.levels))
    x, y = batch.x, batch.y
    draws = fold(seed, int(batch.ids[0]))  # a random model's answers are independent between batches
    oracle = Oracle.open(threat, x, y, goal, batch.ids, seed, mask)
    asked = oracle.pass_count.forwards.clone()  # what the goal cost
    clean = judge(threat, x, x, oracle.goal, seed=draws)
    standing = ((clean.reached < 1) & oracle.goal.aims).nonzero().squeeze(1)
    result, raw = untouched(x), x
    if len(standing):
        attacked_result, handed = handed_over(attack, oracle.rows(standing))
        result, raw = result.spread(standing, attacked_result), raw.index_copy(0, standing, handed)
    result = replace(result, forwards=result.forwards + asked)
    limit = threat.limit if attack.ball is None else attack.ball
    image = raw
    if batch.levels is not None and threat.levels is None:
        image = PixelGrid(batch.levels, x, None if limit is None else limit.bind(x)).round(raw)
    elif given in HALF and batch.levels is None:
        image = rounded_to(given, raw, x, None if limit is None else limit.bind(x))
    verdict = judge(threat, x, image, oracle.goal, limit=limit, seed=draws)
    raw_verdict = verdict if image is raw else judge(threat, x, raw, oracle.goal, limit=limit, seed=draws)
    noise_rejected = None
    if oracle.goal.rejects:
        noisy = shuffled(x, image, oracle.rng, oracle.domain.mask)
        noise_rejected = judge(threat, x, noisy, oracle.goal, seed=draws).rejected
    attacked = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    attacked[standing] = True
    stages, counts = len(attack.stages_on(x.shape[1:])), oracle.pass_count
    broken = attacked & verdict.admissible & ((verdict.misclassified > 0) | verdict.success)
    known = broken & (result.broken_by >= 0) & (result.broken_by < stages) & (stages > 1)
    per_sample = counts.switches, counts.vanished, counts.nonfinite_gradients, counts.unsolved
    judged = clean, image, verdict, raw, raw_verdict, noise_rejected, attacked
    broken_by = torch.where(known, result.broken_by, -1)
    return Evaluated(batch, oracle.goal, result, *judged, *per_sample, broken_by, attack.norm, given)


def in_batches(batch: Batch, mask: Tensor | None, size: int | None) -> list[tuple[Batch, Tensor | None]]:
    """A batch in parts of `size` samples, each with its part of the mask; whole for None. Raises ContractError."""
    if size is None:
        return [(batch, mask)]
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ContractError(f"expected batch_size as a whole number of at least 1, got {size!r}")
    own = mask is not None and mask.dim() == batch.x.dim() and len(mask) == len(batch) > 1
    parts = torch.split(torch.arange(len(batch)), size)
    return [
        (
            Batch(batch.x[part], batch.y[part], batch.ids[part], batch.levels),
            mask[part] if own and mask is not None else mask,
        )
        for part in parts
    ]


def joined(parts: Sequence[Evaluated]) -> Evaluated:
    """Several evaluated batches as one."""
    return parts[0] if len(parts) == 1 else _together(parts)


def _together(values: Sequence[Any]) -> Any:
    """Values of several batches as one: tensors end to end, dataclasses field by field, anything else that of the first."""
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    if isinstance(first, (Batch, ResolvedGoal, Result, Verdict, Evaluated)):
        return replace(first, **{f.name: _together([getattr(v, f.name) for v in values]) for f in fields(first)})
    return first


def judged_columns(done: Evaluated) -> dict[str, Tensor]:
    """The columns of the verdict on an evaluated batch, one value per sample each; `broken_by` is -1 for null."""
    v, target = done.verdict, done.goal.target
    return {
        "id": done.batch.ids,
        "y": done.batch.y,
        "clean_correct": 1 - done.clean.error,
        "misclassified": torch.where(v.admissible, v.misclassified, done.clean.misclassified),
        "reached": torch.where(v.admissible, v.reached, done.clean.reached),
        "clean_not_finite": done.clean.not_finite,
        "not_finite": torch.where(v.admissible, v.not_finite, done.clean.not_finite),
        "success": v.success,
        "broken_by": done.broken_by,
        **({} if target is None else {"target": target}),
    }


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
    if done.noise_rejected is not None:
        out["clean_rejected"], out["noise_rejected"] = done.clean.rejected, done.noise_rejected
        out["rejected"] = torch.where(v.admissible, v.rejected, done.clean.rejected)
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


def pictured(shape: Sequence[int]) -> bool:
    """Whether samples of this shape can be written as PNG."""
    return len(shape) == 3 and shape[0] in (1, 3)


def png(image: Tensor) -> bytes:
    """A `(1 or 3, height, width)` image in [0,1] as PNG bytes at 8 bits; exact for images on the grid of 256 levels."""
    pixels = (image.detach().cpu() * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
