"""Attack losses: values in closed form, gradients by finite differences, and the invariances attacks rely on."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vauban.core.errors import ContractError, UnknownName
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import (
    LOSSES,
    SATURATED,
    Loss,
    auto,
    check_loss,
    cross_entropy,
    dlr,
    loss_by_name,
    loss_values,
    margin,
    probability_margin,
    switched,
)
from vauban.core.rng import Stream

NAMES = sorted(LOSSES)


def case(seed: int, classes: int, kind: str) -> tuple[Tensor, ResolvedGoal]:
    stream = Stream(seed, torch.arange(6))
    logits = 3 * stream.normal("z", (classes,), dtype=torch.float64)
    y = stream.integers("y", classes)
    other = (y + 1 + stream.integers("t", classes - 1)) % classes
    aims = {
        "untargeted": ResolvedGoal(y),
        "targeted": ResolvedGoal(y, other),
        "toward": ResolvedGoal(y, toward=other),
        "rejecting": ResolvedGoal(y.clamp_max(classes - 2), rejects=True),
    }
    return logits, aims[kind]


def gradient(loss: Loss, logits: Tensor, goal: ResolvedGoal) -> Tensor:
    leaf = logits.clone().requires_grad_(True)
    (g,) = torch.autograd.grad(loss(leaf, goal).sum(), leaf)
    return g


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["untargeted", "targeted", "toward", "rejecting"])
@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10**6), classes=st.integers(3, 6))
def test_gradient_by_finite_differences(name: str, kind: str, seed: int, classes: int) -> None:
    logits, goal = case(seed, classes, kind)
    g, h = gradient(LOSSES[name], logits, goal), 1e-6
    for k in range(classes):
        step = torch.zeros_like(logits)
        step[:, k] = h
        slope = (LOSSES[name](logits + step, goal) - LOSSES[name](logits - step, goal)) / (2 * h)
        torch.testing.assert_close(g[:, k], slope, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["untargeted", "targeted", "rejecting"])
@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10**6), shift=st.sampled_from([-1e4, -50.0, 50.0, 1e4]))
def test_a_logit_shift_changes_nothing(name: str, kind: str, seed: int, shift: float) -> None:
    logits, goal = case(seed, 5, kind)
    torch.testing.assert_close(LOSSES[name](logits + shift, goal), LOSSES[name](logits, goal), atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(
        gradient(LOSSES[name], logits + shift, goal), gradient(LOSSES[name], logits, goal), atol=1e-9, rtol=1e-9
    )


@pytest.mark.parametrize("kind", ["untargeted", "targeted"])
@pytest.mark.parametrize("classes", [3, 4, 10])
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-3, 10.0, 1e4]))
def test_dlr_ignores_the_scale_of_the_logits(kind: str, classes: int, seed: int, scale: float) -> None:
    logits, goal = case(seed, classes, kind)
    torch.testing.assert_close(dlr(logits * scale, goal), dlr(logits, goal), atol=1e-7, rtol=1e-7)


def test_closed_forms() -> None:
    z = torch.tensor([[4.0, 3.0, 1.0, -1.0]])
    y, t = torch.tensor([0]), torch.tensor([2])
    log_sum = math.log(sum(math.exp(v) for v in z[0].tolist()))
    assert cross_entropy(z, ResolvedGoal(y)).item() == pytest.approx(log_sum - 4)
    assert cross_entropy(z, ResolvedGoal(y, t)).item() == pytest.approx(1 - log_sum)
    assert margin(z, ResolvedGoal(y)).item() == -1
    assert margin(z, ResolvedGoal(y, t)).item() == -3
    assert dlr(z, ResolvedGoal(y)).item() == pytest.approx(-1 / 3)
    assert dlr(z, ResolvedGoal(y, t)).item() == pytest.approx(-3 / 4)
    assert dlr(z[:, :3], ResolvedGoal(y, t)).item() == pytest.approx(-3 / 2)


def test_being_rejected_is_no_success() -> None:
    """The last class means 'rejected': in closed form, and no loss has a slope that makes it more likely."""
    z = torch.tensor([[4.0, 3.0, 1.0, 5.0], [4.0, 3.0, 1.0, -2.0]], dtype=torch.float64)
    goal = ResolvedGoal(torch.tensor([0, 0]), rejects=True)
    mass = [sum(math.exp(v) for v in row) for row in z.tolist()]
    held = [math.exp(4) + math.exp(row[-1]) for row in z.tolist()]
    expected = torch.tensor([math.log(a / b) for a, b in zip(mass, held, strict=True)], dtype=torch.float64)
    torch.testing.assert_close(cross_entropy(z, goal), expected)
    assert margin(z, goal).tolist() == [-2, -1]
    assert gradient(margin, z, goal)[:, 3].tolist() == [-1, 0]
    for loss in (margin, cross_entropy, auto):
        assert (gradient(loss, z, goal)[:, 3] <= 0).all()


@pytest.mark.parametrize("kind", ["untargeted", "targeted"])
def test_with_three_classes_dlr_has_a_gradient_whatever_the_order(kind: str) -> None:
    for seed in range(40):
        logits, goal = case(seed, 3, kind)
        ahead = margin(logits, goal) < 0  # where the goal is reached the ratio may be constant
        assert (gradient(dlr, logits, goal).abs().amax(1)[ahead] > 1e-6).all()


def test_dlr_of_two_classes_is_refused() -> None:
    with pytest.raises(ContractError, match="3 classes"):
        dlr(torch.zeros(1, 2), ResolvedGoal(torch.tensor([0])))
    assert gradient(margin, torch.tensor([[1.0, 0.0]]), ResolvedGoal(torch.tensor([0]))).abs().sum() == 2


@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["untargeted", "targeted", "rejecting"]))
def test_margin_is_positive_exactly_where_the_goal_is_reached(seed: int, kind: str) -> None:
    logits, goal = case(seed, 4, kind)
    assert torch.equal(margin(logits, goal) > 0, goal.reached(logits))


def test_auto_switches_exactly_where_cross_entropy_is_saturated() -> None:
    gaps = torch.tensor([0.0, 5.0, -math.log(SATURATED) - 0.01, -math.log(SATURATED) + 0.01, 80.0, 1e4])
    logits = torch.stack([gaps, torch.zeros_like(gaps)], 1)
    goal = ResolvedGoal(torch.zeros(6, dtype=torch.int64))
    for with_goal in (goal, ResolvedGoal(torch.ones(6, dtype=torch.int64), target=goal.y)):
        value, lead = auto(logits, with_goal), margin(logits, with_goal)
        assert switched(value, with_goal).tolist() == [False, False, False, True, True, True]
        assert torch.equal(value, torch.where(switched(value, with_goal), lead, cross_entropy(logits, with_goal)))


@pytest.mark.parametrize("kind", ["untargeted", "targeted"])
def test_auto_keeps_a_gradient_on_enormous_logits(kind: str) -> None:
    logits, goal = case(3, 10, kind)
    logits = logits.float() * 1000
    assert (gradient(auto, logits, goal).abs().amax(1) > 0.1).all()
    if kind == "untargeted":
        confident = ResolvedGoal(logits.argmax(1))
        assert (gradient(cross_entropy, logits, confident).abs().amax(1) < 1e-3).any()
        assert (gradient(auto, logits, confident).abs().amax(1) > 0.1).all()


@pytest.mark.parametrize("kind", ["untargeted", "targeted"])
def test_auto_grows_with_the_margin_across_the_switch(kind: str) -> None:
    """So that the iterate of highest loss is well defined."""
    gaps = torch.linspace(-40, 40, 2001, dtype=torch.float64)
    logits = torch.stack([torch.zeros_like(gaps), gaps], 1)
    y = torch.zeros(2001, dtype=torch.int64)
    value = auto(logits, ResolvedGoal(y) if kind == "untargeted" else ResolvedGoal(y, y + 1))
    assert (value.diff() > 0).all()


def test_names_and_shapes() -> None:
    assert loss_by_name("ce") is cross_entropy
    assert loss_by_name(dlr) is dlr
    with pytest.raises(UnknownName, match="margin"):
        loss_by_name("margn")
    with pytest.raises(ContractError, match="do not average"):
        check_loss(torch.tensor(1.0), 3, cross_entropy)


def annotated(z: Tensor, mine: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(z, mine, reduction="none")


def by_name(z, labels):
    return torch.nn.functional.cross_entropy(z, labels, reduction="none")


@pytest.mark.parametrize("kind", ["untargeted", "targeted", "toward"])
@pytest.mark.parametrize(
    "plain",
    [annotated, by_name, torch.nn.CrossEntropyLoss(reduction="none"), lambda z, y: by_name(z, y)],
    ids=["annotation", "name", "module", "lambda"],
)
def test_a_plain_loss_of_pytorch_is_the_loss_of_each_image(plain: Loss, kind: str) -> None:
    logits, goal = case(3, 5, kind)
    assert torch.equal(loss_values(plain, logits, goal), cross_entropy(logits, goal))


def test_a_loss_of_ours_is_told_by_its_annotation_or_by_any_other_name() -> None:
    def ours(z: Tensor, y: ResolvedGoal) -> Tensor:
        return margin(z, y)

    logits, goal = case(3, 5, "targeted")
    for loss in (ours, margin, lambda z, goal: margin(z, goal), lambda z, g: margin(z, g)):
        assert torch.equal(loss_values(loss, logits, goal), margin(logits, goal))


@pytest.mark.parametrize(
    "averaging", [torch.nn.CrossEntropyLoss(), torch.nn.functional.cross_entropy, lambda z, y: 3.0]
)
def test_a_loss_of_one_number_is_refused_with_the_way_out(averaging: Loss) -> None:
    import vauban as vb

    x, y = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)
    for attack in (vb.attacks.PGD(vb.Linf(0.1), loss=averaging), vb.attacks.FMN(steps=3, loss=averaging)):
        with pytest.raises(ContractError, match="reduction='none'") as refused:
            vb.attack(attack, torch.nn.Linear(3, 4, bias=False), (x, y))
        assert "\n" not in str(refused.value)


def test_the_probability_margin_by_hand() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5], [3.0, -1.0, 0.0]])
    p = logits.softmax(1)
    y = torch.tensor([1, 2])
    away = probability_margin(logits, ResolvedGoal(y))
    assert torch.allclose(away, torch.stack([p[0, 0] - p[0, 1], p[1, 0] - p[1, 2]]))
    toward = probability_margin(logits, ResolvedGoal(y, torch.tensor([2, 0])))
    assert torch.allclose(toward, torch.stack([p[0, 2] - p[0, 1], p[1, 0] - p[1, 2]]))


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("goal", [torch.tensor([0, 1]), None, 3, [0, 1]], ids=["labels", "nothing", "number", "list"])
def test_labels_in_the_place_of_a_goal_are_told(name: str, goal: object) -> None:
    with pytest.raises(ContractError, match=r"expected a goal of \w+\(logits, goal\), got .*ResolvedGoal\(labels\)$"):
        LOSSES[name](torch.zeros(2, 3), goal)  # type: ignore[arg-type]


def test_an_attribute_that_a_loss_lacks_itself_stays_its_own_error() -> None:
    with pytest.raises(AttributeError, match="list"):
        margin([[0.0, 1.0]], ResolvedGoal(torch.tensor([0])))  # type: ignore[arg-type]
