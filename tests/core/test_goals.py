"""Goals resolve once into labels, the same for a sample in every batch."""

from __future__ import annotations

import pytest
import torch

from vauban.core.answers import NO_LABEL, predicted
from vauban.core.errors import ContractError
from vauban.core.goals import LeastLikely, RandomWrong, ResolvedGoal, Targeted, Untargeted
from vauban.core.rng import Stream

LOGITS = torch.tensor([[5.0, 1.0, 0.0], [0.0, 5.0, 1.0], [5.0, 5.0, 0.0]])
Y = torch.tensor([0, 0, 1])
RNG = Stream(0, torch.arange(3))


def test_untargeted() -> None:
    goal = Untargeted().resolve(Y, None, 3, RNG)
    assert goal.reached(LOGITS).tolist() == [False, True, True]  # a tie goes to the first class


def test_a_rejected_image_is_not_adversarial() -> None:
    goal = Untargeted(rejects=True).resolve(Y, None, 3, RNG)
    logits = torch.tensor([[0.0, 0.0, 9.0], [0.0, 9.0, 0.0], [0.0, 9.0, 0.0]])
    assert goal.reached(logits).tolist() == [False, True, False]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_are_an_error_and_no_target(value: float) -> None:
    logits = LOGITS.clone()
    logits[0, 0] = value  # the argmax is the true class and the target
    assert predicted(logits).tolist() == [NO_LABEL, 1, 0]
    assert ResolvedGoal(Y).reached(logits).tolist() == [True, True, True]
    assert ResolvedGoal(Y + 1, torch.tensor([0, 0, 0])).reached(logits).tolist() == [False, False, True]


def test_minus_infinity_is_a_class_that_is_never_given() -> None:
    logits = torch.tensor([[-torch.inf, 2.0, 1.0], [-torch.inf, -torch.inf, -torch.inf]])
    assert predicted(logits).tolist() == [1, NO_LABEL]


def test_targeted() -> None:
    goal = Targeted(1).resolve(Y, None, 3, RNG)
    assert goal.reached(LOGITS).tolist() == [False, True, False]
    each = Targeted(torch.tensor([1, 2, 0])).resolve(Y, None, 3, RNG)
    assert each.reached(LOGITS).tolist() == [False, False, True]
    assert each.rows(torch.tensor([2, 0])).target.tolist() == [0, 1]


def test_a_sample_whose_label_is_the_target_has_nothing_to_reach() -> None:
    goal = Targeted(0).resolve(Y, None, 3, RNG)
    assert goal.aims.tolist() == [False, False, True]
    assert goal.reached(LOGITS).tolist() == [False, False, True]  # the first is answered as the target, which is right
    assert Untargeted().resolve(Y, None, 3, RNG).aims.all()


@pytest.mark.parametrize("bad", [3, -1, torch.tensor([0, 1]), torch.tensor([0.0, 1.0, 2.0])])
def test_impossible_targets(bad: int | torch.Tensor) -> None:
    with pytest.raises(ContractError, match="target"):
        Targeted(bad).resolve(Y, None, 3, RNG)


def test_least_likely_is_never_the_true_class() -> None:
    assert LeastLikely().resolve(Y, LOGITS, 3, RNG).target.tolist() == [2, 2, 2]
    assert LeastLikely().resolve(torch.tensor([2, 2, 2]), LOGITS, 3, RNG).target.tolist() == [1, 0, 0]


def test_random_wrong_is_uniform_and_belongs_to_the_sample() -> None:
    ids = torch.arange(6000)
    y = ids % 4
    target = RandomWrong().resolve(y, None, 4, Stream(0, ids)).target
    assert (target != y).all()
    assert abs((((target - y) % 4).bincount()[1:] / 6000) - 1 / 3).max() < 0.03
    few = torch.tensor([17, 5])
    assert torch.equal(RandomWrong().resolve(y[few], None, 4, Stream(0, few)).target, target[few])


def test_wrong_classes_least_likely_first() -> None:
    assert ResolvedGoal(Y).wrong_classes(LOGITS).tolist() == [[2, 1], [2, 1], [2, 0]]
    assert ResolvedGoal(Y, rejects=True).wrong_classes(LOGITS).tolist() == [[1], [1], [0]]


def test_text() -> None:
    goals = [Untargeted(), Targeted(3), Targeted(torch.tensor([1])), LeastLikely(), RandomWrong()]
    assert [str(g) for g in goals] == ["untargeted", "targeted:3", "targeted:given", "least-likely", "random-wrong"]
