"""One batch of a cell: clean answers, the attack on what still stands, the verdict on the saved image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
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


@dataclass(frozen=True)
class Evaluated:
    """A batch after its attack, all tensors batch-leading.

    image: what would be saved. raw: before rounding. given: type in which the images came; images of half precision are
    held in float32, and what is judged passes through their type. noise_rejected: how often the network rejects noise of
    the size of the attack's change, None where it rejects nothing. broken_by: number of the stage that broke the image, -1
    where none did and for an attack of one stage. spared: whether the attack kept back a part of itself. audited:
    whether the sample was given all of it afterwards.
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
    spared: Tensor
    audited: Tensor
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
    if batch.levels is not None and threat.levels is None and attack.rounded:
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
    return Evaluated(
        batch,
        oracle.goal,
        result,
        *judged,
        *per_sample,
        broken_by,
        result.spared & ~verdict.success,
        torch.zeros_like(attacked),
        attack.norm,
        given,
    )


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
