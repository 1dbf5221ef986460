"""A judge's label and probabilities: one network, votes with and without ties, means, random members."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban.core.answers import NO_LABEL
from vauban.core.cards import Card
from vauban.core.errors import ContractError
from vauban.defences.voting import vote
from vauban.reproduce.judging import opinions


class Fixed(nn.Module):
    """The same logits for every image."""

    def __init__(self, *probabilities: float) -> None:
        super().__init__()
        self.logits = torch.tensor(probabilities).log()

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.randn(len(x), 3)


X = torch.zeros(2, 1, 2, 2)
TARGET = torch.tensor([2, 0])


def judged(
    members: list[nn.Module], rule: Any = "plurality", seed: int = 0
) -> tuple[list[int], list[float], list[float]]:
    found = opinions(members, rule, X, TARGET, seed=seed)
    return found.label.tolist(), found.p_label.tolist(), found.p_target.tolist()


def test_one_network() -> None:
    label, p_label, p_target = judged([Fixed(0.2, 0.5, 0.3)])
    assert label == [1, 1]
    assert p_label == pytest.approx([0.5, 0.5])
    assert p_target == pytest.approx([0.3, 0.2])


def test_plurality_is_not_the_mean() -> None:
    """Two lukewarm votes for class 0 against one certain vote for class 1."""
    members = [Fixed(0.5, 0.4, 0.1), Fixed(0.5, 0.4, 0.1), Fixed(0.01, 0.98, 0.01)]
    assert judged(members)[0] == [0, 0]
    assert judged(members, "mean")[0] == [1, 1]
    for rule in ("plurality", "mean"):
        assert judged(members, rule)[2] == pytest.approx([0.07, 1.01 / 3])
        assert judged(members, rule)[0] == vote(members, rule=rule)(X).argmax(1).tolist()  # type: ignore[arg-type]


def test_ties_go_to_the_larger_sum_among_the_tied() -> None:
    """One vote each for 0 and 1; class 2 has the largest sum and no vote."""
    members = [Fixed(0.50, 0.05, 0.45), Fixed(0.02, 0.52, 0.46)]
    assert judged(members)[0] == [1, 1]
    assert judged(members, "mean")[0] == [0 if 0.52 > 0.91 else 2] * 2


def test_random_members_draw_under_a_seed() -> None:
    before = torch.get_rng_state()
    assert judged([Noise()], seed=1) == judged([Noise()], seed=1)
    assert judged([Noise()], seed=1)[1] != judged([Noise()], seed=2)[1]
    assert torch.equal(torch.get_rng_state(), before)


def test_an_answer_that_is_not_finite_is_no_label_and_no_target() -> None:
    """log of a negative number is NaN; log 0 is minus infinity, a class that is never given."""
    bad, good = Fixed(0.2, -1.0, 0.8), Fixed(0.2, 0.5, 0.3)
    assert judged([bad]) == ([NO_LABEL, NO_LABEL], [0, 0], [0, 0])
    for rule in ("plurality", "mean"):
        assert judged([bad, good], rule) == ([NO_LABEL, NO_LABEL], [0, 0], [0, 0])
    assert judged([Fixed(0.0, 0.4, 0.6)]) == ([2, 2], pytest.approx([0.6, 0.6]), pytest.approx([0.6, 0.0]))


class Flaky(nn.Module):
    """Logits that are not finite in a share of the calls, by torch's global generator, which a seed decides."""

    card = Card("flaky", random=True)

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.tensor([0.0, 2.0, 1.0]).expand(len(x), -1)
        return logits * torch.nan if float(torch.rand(())) < self.share else logits


@pytest.mark.parametrize(("share", "label"), [(0.1, 1), (0.9, NO_LABEL)])
def test_of_a_random_judge_most_draws_count(share: float, label: int) -> None:
    assert judged([Flaky(share)])[0] == [label, label]


class Detects(Fixed):
    """The last logit means 'rejected'."""

    card = Card("detects", rejects=True)


def test_a_rejection_is_told_apart_from_a_label() -> None:
    """Two members without that logit never reject: outvoted, the detector's rejection does not count."""
    rejects, accepts = Detects(0.1, 0.2, 0.1, 0.6), Detects(0.1, 0.5, 0.1, 0.3)
    told = opinions([rejects], "plurality", X, TARGET)
    assert (told.label.tolist(), told.rejected.tolist()) == ([3, 3], [True, True])
    assert opinions([accepts], "plurality", X, TARGET).rejected.tolist() == [False, False]
    assert opinions([Fixed(0.1, 0.2, 0.1, 0.6)], "plurality", X, TARGET).rejected.tolist() == [False, False]
    vote = opinions([Fixed(0.2, 0.5, 0.3), rejects, Fixed(0.2, 0.5, 0.3)], "plurality", X, TARGET)
    assert (vote.label.tolist(), vote.rejected.tolist()) == ([1, 1], [False, False])
    with pytest.raises(ContractError, match="same number of classes, got 3 and 4"):
        opinions([Fixed(0.2, 0.5, 0.3), Fixed(0.1, 0.2, 0.1, 0.6)], "plurality", X, TARGET)
