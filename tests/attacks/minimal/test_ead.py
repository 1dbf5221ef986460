"""EAD: its shrinkage operator, its steps by hand, and distances that are known or compared."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vauban.attacks import load, registry
from vauban.attacks.minimal.cw_l2 import CW
from vauban.attacks.minimal.ead import EAD, EADSteps, Elastic, shrink
from vauban.core.errors import ContractError
from vauban.core.goals import Targeted
from vauban.core.norms import L1, L2
from vauban.engine import Bisection, BoundThreat, Oracle, iterate

unit_interval = st.floats(0, 1, allow_nan=False)


@given(z=st.floats(-2, 3), x0=unit_interval, beta=st.floats(0, 1))
def test_shrinkage_is_equation_8(z: float, x0: float, beta: float) -> None:
    """The three cases as they are written; and the proximal problem solved on a grid."""
    beyond = min(z - beta, 1.0) if z - x0 > beta else max(z + beta, 0.0)
    want = x0 if abs(z - x0) <= beta else beyond
    got = float(shrink(torch.tensor([z], dtype=torch.float64), torch.tensor([x0], dtype=torch.float64), beta))
    assert got == pytest.approx(want, abs=1e-12)
    grid = torch.cat([torch.linspace(0, 1, 4001, dtype=torch.float64), torch.tensor([x0, got], dtype=torch.float64)])
    objective = (grid - z).square() / 2 + beta * (grid - x0).abs()
    assert float(objective[-1]) <= float(objective.min()) + 1e-12


def test_what_is_nearer_than_beta_is_exactly_the_original(digits_test):
    x = digits_test[0][:8]
    assert torch.equal(shrink(x + 0.0099, x, 0.01), x)


@pytest.mark.parametrize("method", ["ista", "fista"])
def test_steps_by_hand(method, make_linear):
    """Four steps on two classes, where the gradient of the loss is a constant until the goal is reached."""
    case = make_linear(2, 0.6, batch=4, dtype=torch.float64)
    c, lr, beta, path = 0.05, 0.1, 0.01, []
    iterate(
        EADSteps(4, lr, beta, 0.0, "l1", method),
        Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y),
        per_sample={"c": torch.full((4,), c, dtype=torch.float64)},
        callback=lambda t, oracle, state: path.append(state),
    )
    w = case.net[1].weight
    for i in range(4):
        x0 = case.x[i].flatten()
        x = y = x0
        down = w[case.y[i]] - w[1 - case.y[i]]
        for k in range(4):
            logits = case.net(y.clamp(0, 1).view(1, 1, 8, 8))[0]
            slope = 2 * (y - x0) + (c * down if logits[case.y[i]] >= logits[1 - case.y[i]] else 0)
            z = y - lr * math.sqrt(1 - k / 4) * slope
            new = torch.where(
                z - x0 > beta, (z - beta).clamp_max(1), torch.where(z - x0 < -beta, (z + beta).clamp_min(0), x0)
            )
            x, y = new, new + (k / (k + 3) if method == "fista" else 0) * (new - x)
            torch.testing.assert_close(path[k].x[i].flatten(), x, rtol=0, atol=1e-12)
            torch.testing.assert_close(path[k].y[i].flatten(), y, rtol=0, atol=1e-12)
    assert not torch.equal(path[-1].x, case.x)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_l1_is_close_to_the_smallest_on_a_linear_model(classes, make_linear):
    """(z_y - z_t) / max |w_t - w_y|, by moving one pixel that stays within [0,1].

    Targeted, because the hinge goes to the class of largest logit, which need not be the nearest in L1."""
    case = make_linear(classes, 0.1)
    w, target, rows = case.net[1].weight, (case.y + 1) % classes, torch.arange(len(case.y))
    z = case.net(case.x)
    smallest = (z[rows, case.y] - z[rows, target]) / (w[target] - w[case.y]).abs().amax(1)
    oracle = Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y, Targeted(target))
    ratio = EAD(9, 200, beta=0.03, c=0.01).run(oracle).distance / smallest
    assert ratio.min() > 1 - 1e-4
    assert ratio.max() < 1.1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ista", "fista"])
def test_without_beta_it_is_an_l2_attack(method, make_linear):
    case = make_linear(3, 0.6)
    attack = EAD(8, 100, lr=0.1, beta=0.0, rule="en", method=method)
    result = attack.run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    ratio = L2.size(result.adversarial - case.x) / case.nearest(L2)
    assert ratio.min() > 1 - 1e-5
    assert ratio.max() < 1.05


@pytest.mark.slow
def test_smaller_l1_and_larger_l2_than_carlini_wagner(digits_cnn, digits_test):
    x, y = (part[:48] for part in digits_test)
    ours, cw = (attack.run(Oracle.open(BoundThreat(digits_cnn), x, y)) for attack in (EAD(5, 40), CW(5, 40, lr=0.1)))
    assert ours.success.all()
    ours_l1, cw_l1 = (L1.size(r.adversarial - x) for r in (ours, cw))
    assert ours_l1.median() < 0.8 * cw_l1.median()
    assert L2.size(ours.adversarial - x).median() > L2.size(cw.adversarial - x).median()
    torch.testing.assert_close(ours.distance, ours_l1)


@pytest.mark.slow
def test_the_two_rules(digits_cnn, digits_test):
    """Each rule's image is the better one by its own measure, and distances are L1 under both."""
    x, y = (part[:32] for part in digits_test)
    l1, en = (EAD(4, 40, rule=rule).run(Oracle.open(BoundThreat(digits_cnn), x, y)) for rule in ("l1", "en"))
    for result in (l1, en):
        torch.testing.assert_close(result.distance, L1.size(result.adversarial - x))
    same = Bisection(EADSteps(40, 0.01, 0.01, 0.0, "en", "fista"), "c", 1.0, 4, largest=1e10)
    elastic = same.run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert torch.equal(elastic.adversarial, en.adversarial)
    d = en.adversarial - x
    torch.testing.assert_close(elastic.distance, 0.01 * L1.size(d) + L2.size(d).square())
    assert (l1.distance <= en.distance + 1e-6).all()
    assert (Elastic(0.01).size(d) <= Elastic(0.01).size(l1.adversarial - x) + 1e-6).all()
    assert not torch.equal(l1.adversarial, en.adversarial)


@pytest.mark.slow
def test_targets_and_kappa(digits_cnn, digits_test):
    x, y = (part[:24] for part in digits_test)
    target = (y + 1) % 10
    result = EAD(6, 60, kappa=1.0).run(Oracle.open(BoundThreat(digits_cnn, levels=None), x, y, Targeted(target)))
    assert result.success.all()
    with torch.no_grad():
        z = digits_cnn(result.adversarial)
    lead = z.gather(1, target[:, None])[:, 0] - z.scatter(1, target[:, None], -torch.inf).amax(1)
    assert lead.min() >= 1.0 - 1e-4


def test_cost(digits_cnn, digits_test):
    x, y = (part[:8] for part in digits_test)
    attack = EAD(3, 10)
    result = attack.run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert result.forwards.eq(33).all()
    assert result.backwards.eq(30).all()
    assert attack.passes == (33, 30)


@pytest.mark.parametrize("params", [{"beta": -0.1}, {"rule": "l2"}, {"method": "adam"}])
def test_refusals(params):
    with pytest.raises(ContractError, match=f"expected {next(iter(params))} of EAD as"):
        EAD(**params)


def test_registered():
    facts = registry.get("ead").facts
    assert (facts["norms"], facts["needs"], facts["targeted"]) == (("l1",), "gradients", True)
    assert load("ead", method="ista").norm is L1
