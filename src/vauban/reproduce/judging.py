"""Judging saved images: the labels and probabilities of a network, or of a vote, on the images as they were reloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.core.rng import seeded
from vauban.defences.voting import Count, Rule, log_mean
from vauban.engine.network import predict, quiet


@dataclass(frozen=True)
class Opinion:
    """Per image `(batch,)`: the predicted label, its probability and that of the target."""

    label: Tensor
    p_label: Tensor
    p_target: Tensor


def opinions(
    members: Sequence[nn.Module], rule: Rule, x: Tensor, target: Tensor, *, seed: int = 0, batch: int = 0
) -> Opinion:
    """One answer for each image x `(batch, channel, height, width)`, of a network or of several that vote.

    Each member is asked once. Probabilities of a vote are the mean of the members', whatever the rule says the label is.
    A random member draws under a seed of its own. Raises ContractError where an answer is not finite.
    """
    parts = [part for member in members for part in member.modules()]
    with quiet(parts), seeded(seed, "judge", batch, device=x.device):
        answers = torch.stack([predict(member, x) for member in members])
    if not bool(answers.isfinite().all()):
        raise ContractError("expected finite logits of a judge, got NaN or infinity")
    probability = log_mean(answers.double()).exp()
    counted = Count()(answers) if rule == "plurality" and len(members) > 1 else probability
    label = answers[0].argmax(1) if len(members) == 1 else counted.argmax(1)

    def of(classes: Tensor) -> Tensor:
        return probability.gather(1, classes[:, None]).squeeze(1)

    return Opinion(label, of(label), of(target))
