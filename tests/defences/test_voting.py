"""A vote against counting by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vauban import defences
from vauban.core.cards import carded
from vauban.core.errors import ContractError
from vauban.defences.voting import Voting, log_mean


class Fixed(nn.Module):
    """The same logits for every image."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


def softmax(z: list[float]) -> list[float]:
    e = [math.exp(v - max(z)) for v in z]
    return [v / sum(e) for v in e]


def winners(logits: list[list[float]]) -> list[int]:
    """By counting; several where summed probabilities differ by rounding only."""
    classes = range(len(logits[0]))
    votes = [sum(row.index(max(row)) == k for row in logits) for k in classes]
    summed = [sum(softmax(row)[k] for row in logits) for k in classes]
    tied = [k for k in classes if votes[k] == max(votes)]
    return [k for k in tied if summed[k] > max(summed[j] for j in tied) - 1e-9]


rows = st.integers(2, 4).flatmap(
    lambda classes: st.lists(
        st.lists(st.integers(-12, 12).map(lambda v: v / 4), min_size=classes, max_size=classes), min_size=1, max_size=6
    )
)


@pytest.mark.slow
@given(logits=rows)
@settings(deadline=None, max_examples=300)
def test_the_plurality_wins_and_ties_go_to_the_largest_summed_probability(logits: list[list[float]]) -> None:
    out = defences.vote([Fixed(row) for row in logits])(torch.zeros(2, 1, 2, 2))
    possible = [[float(k == winner) for k in range(len(logits[0]))] for winner in winners(logits)]
    assert out[0].tolist() in possible
    assert torch.equal(out[0], out[1])


def test_ties_by_hand() -> None:
    x = torch.zeros(1, 3)
    # One vote each for 0 and 1; class 1 is the surer one. Class 2 has the largest sum of all and no vote.
    logits = [[1.0, 0.0, 0.99], [0.0, 1.2, 1.1]]
    summed = [a + b for a, b in zip(softmax(logits[0]), softmax(logits[1]), strict=True)]
    assert max(summed) == summed[2]
    assert defences.vote([Fixed(row) for row in logits])(x).tolist() == [[0.0, 1.0, 0.0]]
    # Alike in everything: the smallest label.
    assert defences.vote([Fixed([0.0, 2.0, 1.0]), Fixed([0.0, 1.0, 2.0])])(x).tolist() == [[0.0, 1.0, 0.0]]
    # Two against one, however sure the one is.
    assert defences.vote([Fixed([0.1, 0.0]), Fixed([0.1, 0.0]), Fixed([0.0, 90.0])])(x).tolist() == [[1.0, 0.0]]


@given(logits=rows)
@settings(deadline=None)
def test_the_mean_rule_is_the_log_of_the_mean_probability(logits: list[list[float]]) -> None:
    out = defences.vote([Fixed(row) for row in logits], rule="mean")(torch.zeros(1, 3))
    each = [softmax(row) for row in logits]
    want = [math.log(sum(p[k] for p in each) / len(each)) for k in range(len(logits[0]))]
    assert out[0].tolist() == pytest.approx(want, abs=1e-9)


def test_the_mean_rule_survives_probabilities_that_underflow_and_has_a_gradient() -> None:
    z = torch.tensor([[[0.0, 2000.0]], [[0.0, 3000.0]]], dtype=torch.float64, requires_grad=True)
    assert log_mean(z).tolist() == [[-2000.0 - math.log(2), 0.0]]
    (g,) = torch.autograd.grad(log_mean(z)[0, 0], z)
    assert torch.isfinite(g).all()
    assert g.abs().amax() > 0


def test_a_vote_has_no_gradient_and_its_card_says_what_to_attack() -> None:
    members = [nn.Linear(3, 2), nn.Linear(3, 2)]
    voting = defences.vote(members)
    assert isinstance(voting, Voting)
    assert not voting(torch.zeros(1, 3, requires_grad=True)).requires_grad
    ((owner, card),) = carded(voting)
    assert owner is voting
    assert card.name == "vote"
    assert card.not_differentiable == ("count",)
    assert [(voting.get_submodule(name), weight) for name, weight in card.objective] == [(m, 1.0) for m in members]
    mean = defences.vote(members, rule="mean")
    assert not mean.card.objective
    assert not mean.card.not_differentiable
    assert mean(torch.zeros(1, 3, requires_grad=True)).requires_grad


def test_a_members_nan_is_not_hidden() -> None:
    out = defences.vote([Fixed([0.0, 1.0]), Fixed([0.0, float("nan")]), Fixed([0.0, 1.0])])(torch.zeros(1, 3))
    assert out.isnan().all()


def test_modes_and_weights_stay_the_members_own() -> None:
    members = [nn.Sequential(nn.Linear(3, 2), nn.Dropout()) for _ in range(2)]
    members[0][1].eval()
    before = [[part.training for part in member.modules()] for member in members]
    voting = defences.vote(members)
    assert [[part.training for part in member.modules()] for member in members] == before
    assert voting.training
    assert not any(part.training for part in defences.vote([member.eval() for member in members]).modules())
    assert next(voting.parameters()) is next(members[0].parameters())


def test_bad_votes_are_refused_in_one_line() -> None:
    x = torch.zeros(1, 3)
    cases = {
        "at least one member": lambda: defences.vote([]),
        "Module to defend, got str": lambda: defences.vote(["a"]),  # type: ignore[list-item]
        "rule of vote as one of plurality, mean, got 'median'": lambda: defences.vote(
            [Fixed([0.0, 1.0])], rule="median"
        ),  # type: ignore[arg-type]
        r"one number of classes, got \[2, 3\]": lambda: defences.vote([Fixed([0.0] * 2), Fixed([0.0] * 3)])(x),
    }
    for message, call in cases.items():
        with pytest.raises(ContractError, match=message) as error:
            call()
        assert "\n" not in str(error.value)
