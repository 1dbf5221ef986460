"""Verdict of the evaluator: on the image that would be saved, by the judged network, on fresh draws."""

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
    """Judgement of images, one row per sample.

    Attributes:
        label: Label of the mean logits, int64 `(batch,)`.
        confidence: Softmax of the mean logits at that label, `(batch,)`.
        misclassified: Share of the draws at which the label is not y, float64 `(batch,)`.
        reached: Share of the draws at which the goal is reached, float64 `(batch,)`.
        admissible: Whether the image is within the limit and in [0,1], bool `(batch,)`.
    """

    label: Tensor
    confidence: Tensor
    misclassified: Tensor
    reached: Tensor
    admissible: Tensor

    @property
    def success(self) -> Tensor:
        """Whether the image is within the limit and more than half of the draws reach the goal, bool `(batch,)`."""
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
    """Judge images on the threat's target.

    A randomised target answers `draws` times under seeds that no attack has seen; a deterministic one once. NaN logits
    reach no goal.

    Args:
        threat: The threat whose target judges.
        x0: The originals, `(batch, ...)`.
        x: The images, `(batch, ...)`.
        goal: The labels, and what is to be reached.
        limit: The ball to enforce; None: the threat's.
        seed: Seed of the draws of a randomised target.
        draws: Number of its answers.

    Returns:
        One row per image.
    """
    limit = limit or threat.limit
    rounds = draws if threat.randomised else 1
    total, missed, reached = None, [], []
    with quiet(list(threat.target.modules())):
        for k in range(rounds):
            if threat.randomised:
                with seeded(seed, "verdict", k, device=x.device):
                    logits = predict(threat.target, x, threat.half)
            else:
                logits = predict(threat.target, x, threat.half)
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
