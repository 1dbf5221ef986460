"""Verdict of the evaluator: on the image that would be saved, by the judged network, on fresh draws."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.core.answers import NO_LABEL, predicted
from vauban.core.goals import ResolvedGoal
from vauban.core.norms import Ball
from vauban.core.rng import seeded
from vauban.engine.compiled import called
from vauban.engine.network import predict, quiet
from vauban.engine.threat import DRAWS, BoundThreat


@dataclass(frozen=True)
class Verdict:
    """Judgement of images, one row per sample.

    Attributes:
        label: Label of the mean of the finite logits, int64 `(batch,)`; NO_LABEL where no draw gave any.
        confidence: Softmax of that mean at the label, 0 without one, `(batch,)`.
        misclassified: Share of the draws at which the label is neither y nor 'rejected', those without a label included,
            float64 `(batch,)`.
        rejected: Share of the draws at which the label is 'rejected', float64 `(batch,)`.
        reached: Share of the draws at which the goal is reached, float64 `(batch,)`.
        excess: By how much the logit of 'rejected' exceeds the largest of the classes, mean over the draws, float64
            `(batch,)`; NaN for a network that rejects nothing.
        class_reached: Share of the draws at which the goal is reached if nothing is rejected, float64 `(batch,)`.
        not_finite: Share of the draws without a label, the logits not being finite, float64 `(batch,)`.
        admissible: Whether the image is within the limit and in [0,1], bool `(batch,)`.
        columns: Number of logits of the network.
    """

    label: Tensor
    confidence: Tensor
    misclassified: Tensor
    rejected: Tensor
    reached: Tensor
    excess: Tensor
    class_reached: Tensor
    not_finite: Tensor
    admissible: Tensor
    columns: int

    @property
    def error(self) -> Tensor:
        """Share of the draws at which the label is not y, float64 `(batch,)`: what an image without an attack is."""
        return self.misclassified + self.rejected

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
    draws: int = DRAWS,
) -> Verdict:
    """Judge images on the threat's target, in float32 whatever the precision of the attack.

    A randomised target answers `draws` times under seeds that no attack has seen; a deterministic one once. Logits that
    are not finite are an error of the network, see `predicted`.

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
    logits = []
    with quiet(list(threat.target.modules())):
        for k in range(rounds):
            with seeded(seed, "verdict", k, device=x.device) if threat.randomised else nullcontext():
                logits.append(predict(called(threat, threat.target), x, threat.half, "float32"))
    label = torch.stack([predicted(z) for z in logits])
    known, rejected = label != NO_LABEL, goal.rejected(label, logits[0].shape[1])
    accepted = torch.stack([predicted(z[:, :-1]) for z in logits]) if goal.rejects else label
    total = sum(z.where(finite[:, None], 0) for z, finite in zip(logits, known, strict=True))
    mean, answered = total / known.sum(0).clamp_min(1)[:, None], known.any(0)
    inside = ((x >= 0) & (x <= 1)).flatten(1).all(1)
    if limit is not None:
        inside = inside & limit.bind(x0).contains(x, x0)
    excess = torch.stack([_excess(z) if goal.rejects else torch.full_like(z[:, 0], torch.nan) for z in logits])
    return Verdict(
        label=mean.argmax(1).where(answered, NO_LABEL),
        confidence=mean.softmax(1).amax(1).where(answered, 0),
        misclassified=((label != goal.y) & ~rejected).double().mean(0),
        rejected=rejected.double().mean(0),
        reached=_reached(goal, label, mean.shape[1]),
        excess=excess.double().mean(0),
        class_reached=_reached(goal, accepted, mean.shape[1]),
        not_finite=(~known).double().mean(0),
        admissible=inside,
        columns=mean.shape[1],
    )


def _reached(goal: ResolvedGoal, labels: Tensor, columns: int) -> Tensor:
    """Share of the draws at which labels `(draws, batch)` are what the goal wants."""
    return torch.stack([goal.reached_by(given, columns) for given in labels]).double().mean(0)


def _excess(logits: Tensor) -> Tensor:
    return logits[:, -1] - logits[:, :-1].amax(1)
