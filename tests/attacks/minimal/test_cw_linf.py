"""Carlini and Wagner, L-infinity: closed forms, what a round promises, and each sample for itself."""

from __future__ import annotations

import pytest
import torch

from vauban.attacks.minimal.cw_linf import CWLinf, CWLinfState
from vauban.attacks.parts.adam_rounds import AdamRoundState, AdamRoundSteps
from vauban.core.errors import ContractError
from vauban.core.goals import RandomWrong, Targeted
from vauban.core.norms import Linf
from vauban.engine import BoundThreat, Oracle, iterate


def walk(attack, oracle):
    """The states after every step."""
    states = []
    result = iterate(AdamRoundSteps(attack.steps, attack), oracle, callback=lambda t, view, state: states.append(state))
    return result, states


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3])
def test_nearest_point_of_a_half_space(classes, make_linear):
    case = make_linear(classes, 0.6)
    attack = CWLinf(800, inner=40, lr=0.01)
    result = attack.run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    assert result.success.all()
    ratio = result.distance / case.nearest(Linf)
    assert ratio.min() > 1 - 1e-5
    assert ratio.max() < 1.15  # tau falls by a tenth


@pytest.mark.slow
@pytest.mark.parametrize("levels", [256, None])
def test_tau_falls_and_c_rises(levels, digits_cnn, digits_test):
    x, y = (part[2:18] for part in digits_test)  # classified correctly
    _, states = walk(CWLinf(120, inner=8, lr=0.1), Oracle.open(BoundThreat(digits_cnn, levels=levels), x, y))
    tau, c = torch.stack([s.tau for s in states]), torch.stack([s.c for s in states])
    falls, rises = tau[1:] < tau[:-1], c[1:] > c[:-1]
    assert falls.any(0).all()
    assert rises.any()
    assert not (falls & rises).any(), "one step cannot both succeed and fail"
    assert (tau[1:][falls] <= 0.9 * tau[:-1][falls] + 1e-6).all()
    assert torch.equal(tau[1:][~falls], tau[:-1][~falls])
    torch.testing.assert_close(c[1:][rises], 2 * c[:-1][rises])
    assert torch.equal(c[1:][~rises], c[:-1][~rises])
    if levels:
        torch.testing.assert_close(tau[tau < 1] * 255, (tau[tau < 1] * 255).round(), rtol=0, atol=1e-4)


def test_the_penalty_is_the_slope_of_what_exceeds_tau():
    tau = torch.tensor([0.2, 0.5, 0.9])
    state = CWLinfState.begin(torch.full((3, 10), 0.5), 1.0, tau=tau)
    d = torch.linspace(-1, 1, 30).view(3, 10).requires_grad_(True)
    (d.abs() - tau[:, None]).clamp_min(0).sum().backward()
    assert torch.equal(CWLinf().pull(state, d.detach()), d.grad)


def test_adam_is_the_textbook_one_in_every_round():
    """Three samples whose rounds begin at steps 0, 2 and 5, against torch.optim.Adam begun anew there."""
    g = torch.Generator().manual_seed(1)
    slopes = torch.randn(8, 3, 5, generator=g, dtype=torch.float64)
    state = AdamRoundState.begin(torch.full((3, 5), 0.4, dtype=torch.float64), 1.0)
    z = [row.clone().requires_grad_(True) for row in state.z]
    adam = [torch.optim.Adam([row], lr=0.1) for row in z]
    for t in range(8):
        again = torch.tensor([t == 0, t == 2, t == 5])
        state = state.again(again).descend(slopes[t], 0.1)
        for i in range(3):
            if again[i]:
                adam[i] = torch.optim.Adam([z[i]], lr=0.1)
            z[i].grad = slopes[t, i].clone()
            adam[i].step()
            torch.testing.assert_close(state.z[i], z[i].detach())


@pytest.mark.slow
@pytest.mark.parametrize("goal", [None, RandomWrong()], ids=["untargeted", "targeted"])
def test_on_a_network(goal, digits_cnn, digits_test):
    x, y = (part[:32] for part in digits_test)
    oracle = Oracle.open(BoundThreat(digits_cnn), x, y, goal)
    result = CWLinf(300, lr=0.1).run(oracle)
    with torch.no_grad():
        label = digits_cnn(result.adversarial).argmax(1)
    assert torch.equal(oracle.goal.reached_by(label, 10), result.success)
    assert result.success.double().mean() > 0.95
    assert (result.backwards <= 300).all()


@pytest.mark.slow
def test_more_rounds_come_nearer(digits_cnn, digits_test):
    x, y = (part[:32] for part in digits_test)
    early, late = (CWLinf(n).run(Oracle.open(BoundThreat(digits_cnn), x, y)).distance for n in (30, 400))
    assert (late <= early).all()
    assert late.median() < 0.7 * early.median()


def test_finished_samples_ask_no_more(digits_cnn, digits_test):
    x, y = digits_test
    with torch.no_grad():
        wrong = (digits_cnn(x[:4]).argmax(1) + 1) % 10
    labels = torch.cat([wrong[:2], y[2:4]])
    result = CWLinf(40).run(Oracle.open(BoundThreat(digits_cnn), x[:4], labels))
    assert result.distance[:2].eq(0).all()
    assert result.backwards[:2].eq(1).all()
    assert result.backwards[2:].eq(40).all()


@pytest.mark.slow
def test_a_sample_does_not_depend_on_its_batch(make_linear):
    case = make_linear(4, 0.3, batch=4, dtype=torch.float64)
    threat, attack = BoundThreat(case.net, levels=None), CWLinf(150, inner=10, lr=0.02)
    whole = attack.run(Oracle.open(threat, case.x, case.y))
    single = [attack.run(Oracle.open(threat, case.x[i : i + 1], case.y[i : i + 1])) for i in range(4)]
    torch.testing.assert_close(whole.crafted, torch.cat([s.crafted for s in single]), rtol=0, atol=1e-9)
    assert torch.equal(whole.backwards, torch.cat([s.backwards for s in single]))


@pytest.mark.slow
def test_kappa_asks_for_a_margin(make_linear):
    case = make_linear(4, 0.6)
    target = (case.y + 1) % 4
    oracle = Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y, Targeted(target))
    result = CWLinf(600, kappa=2.0, lr=0.02).run(oracle)
    assert result.success.all()
    z = case.net(result.adversarial)
    gap = z.gather(1, target[:, None])[:, 0] - z.scatter(1, target[:, None], -torch.inf).amax(1)
    assert gap.min() >= 2.0


@pytest.mark.parametrize("bad", [{"inner": 0}, {"c": 0.0}, {"c": 2.0, "largest": 1.0}])
def test_parameters_are_checked(bad):
    with pytest.raises(ContractError, match=f"expected .*{next(iter(bad))}"):
        CWLinf(**bad)
