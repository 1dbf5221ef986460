"""Auto-PGD: its checkpoints, its conditions, its projection in L1, and its run over target classes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vauban import attacks
from vauban.attacks.fixed_budget.apgd import APGD, checkpoints, review
from vauban.attacks.parts import apgd_l1
from vauban.attacks.parts.apgd_state import APGDState
from vauban.core.errors import ContractError
from vauban.core.goals import Targeted
from vauban.core.losses import cross_entropy
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.tensors import take
from vauban.engine import BoundThreat, Oracle, iterate

Digits = tuple[Tensor, Tensor]


@given(steps=st.integers(1, 500))
def test_checkpoints_are_the_papers_formula(steps: int) -> None:
    p = [0.0, 0.22]
    while p[-1] < 1:
        p.append(p[-1] + max(p[-1] - p[-2] - 0.03, 0.06))
    expected = sorted({math.ceil(round(q * steps, 9)) for q in p[1:]})
    assert list(checkpoints(steps)) == [w for w in expected if w < steps]


def test_checkpoints_of_a_hundred_steps() -> None:
    assert checkpoints(100) == (22, 41, 57, 70, 80, 87, 93, 99)


def reviewed(rises: list[float], best: list[float], checked: list[float], halved: list[bool], span: int) -> APGDState:
    n = len(rises)
    state = replace(
        APGDState.at(torch.zeros(n, 3), 2.0),
        best=torch.ones(n, 3),
        best_gradient=torch.full((n, 3), 7.0),
        rises=torch.tensor(rises),
        best_loss=torch.tensor(best),
        checked_loss=torch.tensor(checked),
        halved=torch.tensor(halved),
    )
    return review(state, span)


def test_each_sample_halves_its_own_step_by_the_two_conditions() -> None:
    """rho = 0.75 of 20 steps are 15: 14 rises halve, 15 do not; a best loss that stands still halves every other time."""
    state = reviewed(
        rises=[14, 15, 20, 20, 20],
        best=[3, 3, 3, 3, 3],
        checked=[1, 1, 1, 3, 3],
        halved=[False, False, True, False, True],
        span=20,
    )
    assert state.halved.tolist() == [True, False, False, True, False]
    assert state.step.tolist() == [1, 2, 2, 1, 2]
    assert state.x[:, 0].tolist() == [1, 0, 0, 1, 0]  # back at the best point
    assert state.gradient[:, 0].tolist() == [7, 0, 0, 7, 0]
    assert state.rises.tolist() == [0] * 5
    assert state.checked_loss.tolist() == [3] * 5


def test_what_has_been_seen_is_kept_per_sample() -> None:
    state = APGDState.at(torch.tensor([[0.1], [0.2]]), 2.0).seen(torch.tensor([[1.0], [2.0]]), torch.tensor([5.0, 1.0]))
    state = replace(state, x=torch.tensor([[0.3], [0.4]])).seen(torch.tensor([[3.0], [4.0]]), torch.tensor([4.0, 2.0]))
    torch.testing.assert_close(state.best, torch.tensor([[0.1], [0.4]]))
    assert state.best_gradient.flatten().tolist() == [1, 4]
    assert state.best_loss.tolist() == [5, 2]
    assert state.rises.tolist() == [0, 1]


def trace(attack: APGD, oracle: Oracle) -> list[APGDState]:
    seen: list[APGDState] = []
    iterate(attack, oracle, stop="never", callback=lambda t, view, state: seen.append(state))
    return seen


def test_steps_and_momentum_are_the_papers(digits_cnn: nn.Module, digits_test: Digits) -> None:
    """Every move recomputed from the states around it; steps only change at checkpoints, and only by a half."""
    x, y = digits_test[0][:12], digits_test[1][:12]
    eps, attack = 0.1, APGD(Linf(0.1), steps=30)
    states = trace(attack, Oracle.open(BoundThreat(digits_cnn, levels=None), x, y))
    for t in range(2, 30):
        before, now = states[t - 1], states[t]
        if t in checkpoints(30):
            assert ((now.step == before.step) | (now.step == before.step / 2)).all()
        else:
            assert torch.equal(now.step, before.step)
        start = now.old  # where this move began: the last point, or the best one

        def clip(z: Tensor) -> Tensor:
            return torch.minimum(torch.maximum(z, x - eps), x + eps).clamp(0, 1)

        z = clip(start + now.step[:, None, None, None] * eps * now.gradient.sign())
        expected = clip(start + 0.75 * (z - start) + 0.25 * (start - before.old))
        torch.testing.assert_close(now.x, expected)
    assert len(set(states[-1].step.tolist())) > 1  # samples differ in their steps


def test_the_best_loss_never_falls_and_the_last_step_is_small(digits_cnn: nn.Module, digits_test: Digits) -> None:
    x, y = digits_test[0][:12], digits_test[1][:12]
    states = trace(APGD(L2(0.5), steps=40), Oracle.open(BoundThreat(digits_cnn, levels=None), x, y))
    best = torch.stack([s.best_loss for s in states])
    assert (best.diff(dim=0) >= 0).all()
    logits = digits_cnn(states[-1].best)
    torch.testing.assert_close(
        cross_entropy(logits, Oracle.open(BoundThreat(digits_cnn, levels=None), x, y).goal), best[-1]
    )


def test_rows_of_a_sparse_state_can_be_dropped() -> None:
    state = apgd_l1.APGDL1State.of(APGDState.at(torch.rand(4, 5), 1.0))
    kept = take(state, torch.tensor([True, False, True, False]))
    assert isinstance(kept, apgd_l1.APGDL1State)
    assert kept.share.shape == kept.step.shape == (2,)
    assert torch.equal(kept.x, state.x[[0, 2]])


def brute_force(x: Tensor, x0: Tensor, radius: float) -> Tensor:
    """The projection by bisection of the multiplier."""
    v = x - x0
    room = torch.where(v > 0, 1 - x0, x0)

    def at(s: float) -> Tensor:
        return torch.minimum((v.abs() - s).clamp_min(0), room)

    low, high = 0.0, float(v.abs().max())
    if float(at(0).sum()) <= radius:
        high = 0.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if float(at(middle).sum()) > radius else (low, middle)
    return x0 + v.sign() * at(high)


@given(seed=st.integers(0, 10**6), features=st.integers(1, 30), radius=st.floats(0, 6))
def test_the_l1_projection_is_exact_in_the_box(seed: int, features: int, radius: float) -> None:
    g = torch.Generator().manual_seed(seed)
    x0 = torch.rand(3, features, generator=g, dtype=torch.float64)
    x0[0] = x0[0].round()  # components that start at an edge
    x = x0 + torch.randn(3, features, generator=g, dtype=torch.float64)
    x[2, : features // 2] = x0[2, : features // 2]  # components that did not move
    found = apgd_l1.project(x, x0, torch.full((3,), radius, dtype=torch.float64))
    for i in range(3):
        torch.testing.assert_close(found[i], brute_force(x[i], x0[i], radius), rtol=0, atol=1e-9)
    assert torch.equal(found[2, : features // 2], x0[2, : features // 2])


def test_l1_steps_follow_the_support_of_the_best_point() -> None:
    """EADSteps support: the whole radius again, from the best point; standing still: the step shrinks by 1.5 to 0.1."""
    x0 = torch.zeros(3, 10)
    best = torch.zeros(3, 10)
    best[0, :4], best[1, :6], best[2, :6] = 0.1, 0.1, 0.1
    state = apgd_l1.APGDL1State.of(replace(APGDState.at(x0, 1.0), best=best))
    state = replace(state, support=torch.tensor([6.0, 6, 6]), step=torch.tensor([0.5, 0.6, 0.12]))
    now = apgd_l1.review(state, x0)
    assert isinstance(now, apgd_l1.APGDL1State)
    torch.testing.assert_close(now.step, torch.tensor([1.0, 0.4, 0.1]))
    torch.testing.assert_close(now.share, torch.tensor([4, 6, 6]) / 15)
    assert torch.equal(now.x, torch.stack([best[0], x0[1], x0[2]]))


def test_apgd_t_counts_one_query_and_stops_at_any_wrong_class(digits_cnn: nn.Module, digits_test: Digits) -> None:
    x, y = digits_test[0][:40], digits_test[1][:40]
    threat = BoundThreat(digits_cnn)
    result = attacks.load("apgd-t", ball=Linf(0.2), steps=10, n_target=3).run(Oracle.open(threat, x, y))
    assert result.success.float().mean() > 0.5
    assert (digits_cnn(result.adversarial).argmax(1) != y)[result.success].all()
    standing = ~result.success
    assert (result.forwards[standing] == 1 + 3 * 11).all()  # one query, and per class ten gradients and the check
    assert (result.backwards[standing] == 3 * 10).all()
    assert (result.forwards[result.success] <= 1 + 3 * 11).all()


def test_apgd_t_aims_at_the_likeliest_wrong_classes_first(digits_cnn: nn.Module, digits_test: Digits) -> None:
    x, y = digits_test[0][:20], digits_test[1][:20]
    headings: list[Tensor] = []

    def spy(logits: Tensor, goal: object) -> Tensor:
        headings.append(goal.toward)  # type: ignore[attr-defined]
        return cross_entropy(logits, goal)  # type: ignore[arg-type]

    attack = attacks.load("apgd-t", ball=Linf(0.0), steps=1, n_target=20, loss=spy)
    oracle = Oracle.open(BoundThreat(digits_cnn), x, digits_cnn(x).argmax(1))
    attack.run(oracle)
    order = digits_cnn(x).argsort(1, descending=True)[:, 1:]
    assert torch.equal(torch.stack(headings, 1), order)  # nine wrong classes, however many were asked for
    assert y.shape == (20,)


def test_apgd_t_under_a_targeted_goal_is_apgd_toward_that_target(digits_cnn: nn.Module, digits_test: Digits) -> None:
    x, y = digits_test[0][:10], digits_test[1][:10]
    oracle = Oracle.open(BoundThreat(digits_cnn), x, y, goal=Targeted((y + 1) % 10))
    result = attacks.load("apgd-t", ball=L2(1.5), steps=20).run(oracle)
    assert result.success.any()
    assert (digits_cnn(result.adversarial).argmax(1) == (y + 1) % 10)[result.success].all()
    assert int(result.forwards.max()) <= 21


def test_apgd_t_with_two_classes_and_with_a_spent_budget() -> None:
    net = nn.Linear(3, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]))
        net.bias.zero_()
    x, y = torch.full((2, 3), 0.05), torch.zeros(2, dtype=torch.int64)
    shifted = nn.Sequential(net)
    net.bias.data[1] = 0.05
    result = attacks.load("apgd-t", ball=Linf(0.05), steps=5).run(Oracle.open(BoundThreat(shifted, levels=None), x, y))
    assert result.success.all()
    oracle = Oracle.open(BoundThreat(shifted, levels=None, budget=1), x, y)
    oracle.labels(x)
    spent = attacks.load("apgd-t", ball=Linf(0.05)).run(oracle)
    assert not spent.success.any()
    assert torch.equal(spent.crafted, x)
    with pytest.raises(ContractError, match="expected n_target of APGDT as a whole number of at least 1, got 0"):
        attacks.load("apgd-t", eps=0.1, n_target=0)


@pytest.mark.slow
@pytest.mark.parametrize("ball", [Linf(0.15), L2(0.8), L1(2.5)])
def test_more_steps_never_find_less(digits_cnn: nn.Module, digits_test: Digits, ball: Ball) -> None:
    """APGD is at least as strong as one step and as random noise on the same images."""
    oracle = Oracle.open(BoundThreat(digits_cnn), digits_test[0][:100], digits_test[1][:100])
    found = {
        name: float(attacks.load(name, ball=ball).run(oracle).success.float().mean())
        for name in ("random-noise", "fgsm", "apgd")
    }
    assert found["random-noise"] <= found["fgsm"] + 0.01
    assert found["fgsm"] <= found["apgd"]
    assert found["apgd"] > 0.5
