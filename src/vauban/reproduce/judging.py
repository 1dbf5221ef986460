"""Judging saved images: the labels and probabilities of a network, or of a vote, on the images as they were reloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.answers import NO_LABEL, predicted
from vauban.core.cards import rejecting
from vauban.core.errors import ContractError
from vauban.core.rng import seeded
from vauban.defences.voting import PluralityVote, Rule, log_mean
from vauban.engine.network import in_columns, predict, quiet
from vauban.threats.base import is_random


@dataclass(frozen=True)
class Opinion:
    """Per image `(batch,)`: the predicted label, whether it means 'rejected', its probability and that of the target;
    without a label, both are 0."""

    label: Tensor
    rejected: Tensor
    p_label: Tensor
    p_target: Tensor


DRAWS = 20  # of a random judge, as the verdict of an evaluation takes


def opinions(
    members: Sequence[nn.Module], rule: Rule, x: Tensor, target: Tensor, *, seed: int = 0, batch: int = 0
) -> Opinion:
    """Answers of a network, or of several that vote.

    Args:
        members: The networks; each is asked once, and DRAWS times under fresh seeds where one of them is random.
        rule: How several vote. Their probabilities are the mean of the members', whatever the rule says the label is.
        x: Images `(batch, channel, height, width)`.
        target: Class whose probability is asked for, `(batch,)`.
        seed, batch: What the random numbers of random members are keyed by.

    Returns:
        One answer per image: NO_LABEL, an error, where one of the answers is not finite. Of a random judge the label, or
        NO_LABEL, that most draws give (ties to the more probable), and means. Where a member's last logit means
        'rejected', members without one never give that label.

    Raises:
        ContractError: Members with other numbers of classes.
    """
    draws = DRAWS if is_random(*members) else 1
    answers = [_answer(members, rule, x, (seed, "judge", batch, *([draw] if draw else []))) for draw in range(draws)]
    probability = torch.stack([chance for _, chance in answers]).mean(0) if draws > 1 else answers[0][1]
    label = answers[0][0]
    if draws > 1:
        given = torch.stack([label for label, _ in answers]) - NO_LABEL  # NO_LABEL has the first column
        votes = F.one_hot(given, probability.shape[1] + 1).sum(0)
        label = (votes + F.pad(probability, (1, 0)) / 2).argmax(1) + NO_LABEL

    def of(classes: Tensor) -> Tensor:
        return probability.gather(1, classes.clamp_min(0)[:, None]).squeeze(1).where(label != NO_LABEL, 0)

    rejected = (label == probability.shape[1] - 1) & rejecting(*members)
    return Opinion(label, rejected, of(label), of(target))


def _answer(members: Sequence[nn.Module], rule: Rule, x: Tensor, words: tuple[int | str, ...]) -> tuple[Tensor, Tensor]:
    """The label of each image and the probabilities of all classes, in one draw."""
    parts = [part for member in members for part in member.modules()]
    with quiet(parts), seeded(*words, device=x.device):
        logits = _stacked(members, [predict(member, x) for member in members])
    probability = log_mean(logits.double()).exp()
    counted = PluralityVote()(logits) if rule == "plurality" else probability
    label = predicted(logits[0] if len(members) == 1 else counted)
    return label, probability.where((label != NO_LABEL)[:, None], 0)


def _stacked(members: Sequence[nn.Module], logits: Sequence[Tensor]) -> Tensor:
    """Logits of members in the same columns `(members, batch, columns)`: where one has a last one for 'rejected', all."""
    classes = {z.shape[1] - rejecting(member) for member, z in zip(members, logits, strict=True)}
    if len(classes) > 1:
        raise ContractError(
            f"expected judges of the same number of classes, got {' and '.join(map(str, sorted(classes)))}; where the last "
            "logit of one means 'rejected', say so on its card or with wrap(model, rejects=True)"
        )
    columns = max(z.shape[1] for z in logits)
    return torch.stack([in_columns(z, columns) for z in logits])
