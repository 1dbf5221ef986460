"""Carlini and Wagner, L0: the support shrinks by the right components, closed forms, and each sample for itself."""

from __future__ import annotations

import pytest
import torch

from vauban.attacks.minimal.cw_l0 import CWL0, CWL0State
from vauban.attacks.parts.adam_rounds import AdamRoundSteps
from vauban.core.errors import ContractError
from vauban.core.goals import RandomWrong
from vauban.engine import BoundThreat, Oracle, iterate


def walk(attack, oracle):
    """The result, and the states after every step."""
    states = []
    result = iterate(AdamRoundSteps(attack.steps, attack), oracle, callback=lambda t, view, state: states.append(state))
    return result, states


@pytest.mark.slow
@pytest.mark.parametrize("freeze", [0.0, 0.5])
def test_the_support_only_shrinks(freeze, digits_cnn, digits_test):
    x, y = (part[2:18] for part in digits_test)  # classified correctly
    oracle = Oracle.open(BoundThreat(digits_cnn), x, y)
    attack = CWL0(200, freeze=freeze)
    result, states = walk(attack, oracle)
    free = torch.stack([s.free for s in states]).flatten(2)
    assert not (free[1:] & ~free[:-1]).any()
    assert (free[-1].sum(1) < free[0].sum(1)).all()
    for state in states:
        assert torch.equal(attack.image(oracle, state)[~state.free], x[~state.free])
    count = free.sum(2)
    rounds = (count[1:] < count[:-1]).sum(0)
    assert (rounds >= 5).all()
    assert (result.distance <= 32).all()


def test_a_round_gives_up_what_did_not_change_and_the_least_of_the_rest(digits_cnn, digits_test):
    x = torch.full((3, 6), 0.5)
    d = torch.tensor([[0.3, 0.001, -0.2, 0.1, 0.0, 0.4]]).repeat(3, 1)
    g = torch.tensor([[1.0, 9.0, -0.5, 2.0, 9.0, 0.6]]).repeat(3, 1)  # |g d| = .3 .009 .1 .2 0 .24
    free = torch.ones(3, 6, dtype=torch.bool)
    free[2, 2] = False
    state = CWL0State.begin(x, 1.0, free=free)
    won = torch.tensor([True, False, True])
    oracle = Oracle.open(BoundThreat(digits_cnn), *(part[:3] for part in digits_test))
    one = CWL0(freeze=0.0).tighten(oracle, state, d, g, won).free
    assert one.int().tolist() == [[1, 0, 0, 1, 0, 1], [1] * 6, [1, 0, 0, 0, 0, 1]]
    two = CWL0(freeze=1.0).tighten(oracle, state, d, g, won).free  # floor(sqrt 4) = 2, floor(sqrt 3) = 1
    assert two.int().tolist() == [[1, 0, 0, 0, 0, 1], [1] * 6, [1, 0, 0, 0, 0, 1]]


@pytest.mark.slow
def test_fewest_components_on_a_linear_classifier(make_linear):
    """With two classes the fewest are those whose largest admissible change gains most, taken greedily."""
    case = make_linear(2, 0.6)
    w = case.net[1].weight
    result = CWL0(600).run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    for x, y, distance in zip(case.x, case.y, result.distance, strict=True):
        direction = w[1 - y] - w[y]
        gain = torch.maximum(direction * (1 - x.flatten()), -direction * x.flatten()).sort(descending=True).values
        need = float((w[y] - w[1 - y]) @ x.flatten() + case.net[1].bias[y] - case.net[1].bias[1 - y])
        fewest = int((gain.cumsum(0) <= need).sum()) + 1
        assert fewest <= distance <= fewest + 2


@pytest.mark.slow
@pytest.mark.parametrize("goal", [None, RandomWrong()], ids=["untargeted", "targeted"])
def test_on_a_network(goal, digits_cnn, digits_test):
    x, y = (part[:32] for part in digits_test)
    oracle = Oracle.open(BoundThreat(digits_cnn), x, y, goal)
    result = CWL0(400).run(oracle)
    with torch.no_grad():
        label = digits_cnn(result.adversarial).argmax(1)
    assert torch.equal(oracle.goal.reached_by(label, 10), result.success)
    assert result.success.double().mean() > 0.95
    assert result.distance.median() <= 10
    assert (result.backwards <= 400).all()


@pytest.mark.slow
def test_a_sample_does_not_depend_on_its_batch(make_linear):
    case = make_linear(4, 0.3, batch=4, dtype=torch.float64)
    threat, attack = BoundThreat(case.net, levels=None), CWL0(150, inner=10)
    whole = attack.run(Oracle.open(threat, case.x, case.y))
    single = [attack.run(Oracle.open(threat, case.x[i : i + 1], case.y[i : i + 1])) for i in range(4)]
    torch.testing.assert_close(whole.crafted, torch.cat([s.crafted for s in single]), rtol=0, atol=1e-9)
    assert torch.equal(whole.backwards, torch.cat([s.backwards for s in single]))


def test_a_mask_stays_closed(digits_cnn, digits_test):
    x, y = (part[:8] for part in digits_test)
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, 2:] = True
    _, states = walk(CWL0(60), Oracle.open(BoundThreat(digits_cnn), x, y, mask=mask))
    assert not any(state.free[:, :, :2].any() for state in states)


def test_freeze_is_checked():
    with pytest.raises(ContractError, match=r"expected freeze of CWL0 as a number of at least 0, got -1.0"):
        CWL0(freeze=-1.0)
