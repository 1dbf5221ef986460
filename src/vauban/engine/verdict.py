"""The verdict is the evaluator's: on the image that would be saved, by the judged network, on fresh draws."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.core.goals import ResolvedGoal
from vauban.core.norms import Ball
from vauban.core.rng import seeded
from vauban.engine.network import predict, quiet
from vauban.engine.threat import BoundThreat


@dataclass(frozen=True)
class Verdict:
    """Per sample: label and confidence (softmax of the mean logits), the rates over the draws at which the label is not
    y (misclassified) and at which the goal is reached, and whether the image is within the limit and in [0,1]."""

    label: Tensor
    confidence: Tensor
    misclassified: Tensor
    reached: Tensor
    admissible: Tensor

    @property
    def success(self) -> Tensor:
        """`(batch,)` bool: within the limit, and more than half of the draws reach the goal."""
        return self.admissible & (self.reached > 0.5)


def judge(
    threat: BoundThreat,
    x0: Tensor,
    x: Tensor,
    goal: ResolvedGoal,
    *,
    limit: Ball | None = None,
    seed: int = 0,
    draws: int = 20,
) -> Verdict:
    """Judge the images x `(batch, ...)` against the originals x0 on the threat's target.

    A randomised target answers `draws` times under seeds that no attack has seen; a deterministic one once. NaN logits
    reach no goal. limit: the ball to enforce, by default the threat's.
    """
    limit = limit or threat.limit
    rounds = draws if threat.randomised else 1
    total, missed, reached = None, [], []
    with quiet(list(threat.target.modules())):
        for k in range(rounds):
            if threat.randomised:
                with seeded(seed, "verdict", k, device=x.device):
                    logits = predict(threat.target, x)
            else:
                logits = predict(threat.target, x)
            total = logits if total is None else total + logits
            missed.append(logits.argmax(1) != goal.y)
            reached.append(goal.reached(logits))
    assert total is not None
    mean = total / rounds
    inside = ((x >= 0) & (x <= 1)).flatten(1).all(1)
    if limit is not None:
        inside = inside & limit.bind(x0).contains(x, x0)
    return Verdict(
        label=mean.argmax(1),
        confidence=mean.softmax(1).amax(1),
        misclassified=torch.stack(missed).double().mean(0),
        reached=torch.stack(reached).double().mean(0),
        admissible=inside,
    )
