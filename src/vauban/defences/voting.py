"""Votes of networks: one label from several classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.arguments import named_arguments
from vauban.core.cards import Card, in_training
from vauban.core.contracts import check_logits
from vauban.core.errors import ContractError
from vauban.core.parameters import check
from vauban.defences.base import check_module
from vauban.engine.network import shown

Rule = Literal["plurality", "mean"]
"""The class that most members predict, or the mean of their probabilities."""


def log_mean(logits: Tensor) -> Tensor:
    """log((1/m) sum_i softmax(z_i)): `(m, batch, classes)` -> `(batch, classes)`."""
    m = torch.tensor(float(len(logits)), dtype=logits.dtype, device=logits.device)
    return logits.log_softmax(-1).logsumexp(0) - m.log()


class PluralityVote(nn.Module):
    """One-hot rows `(batch, classes)` of the class that most members predict, from logits `(m, batch, classes)`.

    Ties go to the largest summed probability, then to the smallest label.
    """

    def forward(self, logits: Tensor) -> Tensor:
        logits = logits.detach()
        summed = logits.softmax(-1).sum(0)
        votes = F.one_hot(logits.argmax(-1), logits.shape[-1]).sum(0)
        tied = votes == votes.amax(-1, keepdim=True)
        label = summed.masked_fill(~tied, -1).argmax(-1)
        # The second term is zero: it keeps a member's NaN visible.
        return F.one_hot(label, logits.shape[-1]).to(logits.dtype) + 0 * summed


class MeanVote(nn.Module):
    """`log_mean` as a module."""

    def forward(self, logits: Tensor) -> Tensor:
        return log_mean(logits)


class Voting(nn.Module):
    """Classifiers that vote: their logits `(batch, classes)` stacked and counted.

    Attributes:
        members: The classifiers.
        count: The rule as a module, from stacked logits `(m, batch, classes)` to `(batch, classes)`.
        card: Names the members as the objective to attack where the rule has no gradient.
    """

    @named_arguments
    def __init__(self, members: Sequence[nn.Module], rule: Rule) -> None:
        super().__init__()
        self.members = nn.ModuleList()
        self.count = PluralityVote() if rule == "plurality" else MeanVote()
        # Only the flags of the vote's own modules: .train() would overwrite the modes inside the members.
        awake = any(in_training(member) for member in members)
        self.training = self.members.training = self.count.training = awake
        self.members.extend(members)
        plain = rule == "plurality"
        self.card = Card(
            "vote",
            backward={"count": log_mean} if plain else {},
            objective=tuple((f"members.{i}", 1.0) for i in range(len(members))) if plain else (),
            reference="Centered Initial Attack, review copy for ICLR 2018",
        )

    def forward(self, x: Tensor) -> Tensor:
        answers = [
            check_logits(member(shown(member, x.clone())), len(x)) for member in self.members
        ]  # one may work in place
        classes = [answer.shape[1] for answer in answers]
        if len(set(classes)) > 1:
            raise ContractError(f"expected members of a vote with one number of classes, got {classes}")
        counted: Tensor = self.count(torch.stack(answers))
        return counted


@named_arguments
def vote(members: Sequence[nn.Module], rule: Rule = "plurality") -> Voting:
    """The vote of several classifiers, a classifier like any other; weights are shared, modes are kept.

    Centered Initial Attack (review copy, ICLR 2018), section 3.1.

    Args:
        members: Classifiers of one number of classes.
        rule: "plurality" gives a one-hot row for the class that most members predict; ties go to the largest summed
            probability among the tied, then to the smallest label. It has no gradient: `threats.adaptive()` follows its
            card and differentiates sum_i L(f_i(x)); white_box(bpda={"count": log_mean}) has the mean vote's. "mean" gives
            log((1/m) sum_i softmax(f_i(x))), differentiable.

    Raises:
        ContractError: No member, something that is no module, another rule, and, at the first image, members that
            disagree on the number of classes.

    Departures: the paper says neither how ties are broken nor what is counted.
    """
    check("vote", "rule", rule, Rule)
    modules = [check_module(member) for member in members]
    if not modules:
        raise ContractError("expected at least one member of a vote, got none")
    return Voting(modules, rule)
