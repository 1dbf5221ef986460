"""L-BFGS: against scipy's on a convex problem, against closed forms, and each sample for itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from vauban.attacks.minimal.lbfgs import LBFGS, LBFGSState, ProjectedLBFGS, direction, log_wanted
from vauban.core.errors import ContractError
from vauban.core.goals import RandomWrong, ResolvedGoal, Targeted
from vauban.core.losses import cross_entropy, margin
from vauban.core.norms import L2
from vauban.engine import BoundThreat, Oracle, iterate


@pytest.mark.slow
@pytest.mark.parametrize("edges", [False, True], ids=["inside", "at 0 and 1"])
def test_the_minimum_is_scipys(edges, make_linear):
    """||r||^2 + c CE(target) of a linear classifier is smooth and convex."""
    case = make_linear(5, 0.6, batch=6, dtype=torch.float64)
    x = case.x.round() if edges else case.x
    target, states = (case.y + 1) % 5, []
    c = torch.logspace(-1, 2, 6, dtype=torch.float64)
    iterate(
        ProjectedLBFGS(150, 8, cross_entropy),
        Oracle.open(BoundThreat(case.net, levels=None), x, case.y, Targeted(target)),
        per_sample={"c": c},
        callback=lambda t, oracle, state: states.append(state),
    )
    for i in range(6):

        def value(flat: np.ndarray, i: int = i) -> tuple[float, np.ndarray]:
            z = torch.tensor(flat).view(1, 1, 8, 8).requires_grad_(True)
            loss = nn.functional.cross_entropy(case.net(z), target[i : i + 1])
            total = (z - x[i]).square().sum() + c[i] * loss
            total.backward()
            return total.item(), z.grad.numpy().ravel()

        exact = minimize(
            value,
            x[i].numpy().ravel(),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, 1)] * 64,
            options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1000},
        )
        ours = states[-1]
        assert float(ours.f[i]) == pytest.approx(exact.fun, rel=1e-7)
        np.testing.assert_allclose(ours.x[i].numpy().ravel(), exact.x, atol=1e-3)
    if edges:
        assert ((states[-1].x == 0) | (states[-1].x == 1)).any(), "no bound is active: the test shows nothing"


def test_values_only_fall(digits_cnn, digits_test):
    x, y = (part[:16] for part in digits_test)
    values = []
    iterate(
        ProjectedLBFGS(40, 8, log_wanted),
        Oracle.open(BoundThreat(digits_cnn, levels=None), x, y),
        per_sample={"c": torch.full((16,), 3.0)},
        callback=lambda t, oracle, state: values.append(state.f),
    )
    assert (torch.stack(values).diff(dim=0) <= 0).all()
    assert (values[-1] < values[0]).all()


def test_two_loops_are_the_inverse_hessian_of_bfgs():
    """Against the dense update H <- (1 - rho s y') H (1 - rho y s') + rho s s' on random pairs away from the bounds."""
    g = torch.Generator().manual_seed(2)
    a = torch.randn(3, 6, 6, generator=g, dtype=torch.float64)
    a = a @ a.mT + torch.eye(6, dtype=torch.float64)
    s = torch.randn(3, 4, 6, generator=g, dtype=torch.float64)
    y = s @ a
    gradient = torch.randn(3, 6, generator=g, dtype=torch.float64)
    x, row = torch.full_like(gradient, 0.5), torch.zeros(3, dtype=torch.float64)
    found = direction(LBFGSState(x, row, gradient, x, row, x, s, y, row))
    for i in range(3):
        h = torch.eye(6, dtype=torch.float64) * (s[i, -1] @ y[i, -1]) / (y[i, -1] @ y[i, -1])
        for p, q in zip(s[i], y[i], strict=True):
            left = torch.eye(6, dtype=torch.float64) - torch.outer(p, q) / (p @ q)
            h = left @ h @ left.T + torch.outer(p, p) / (p @ q)
        torch.testing.assert_close(found[i], -h @ gradient[i])


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("loss", [log_wanted, margin])
def test_nearest_point_of_a_half_space(loss, classes, make_linear):
    case = make_linear(classes, 0.6)
    result = LBFGS(12, 25, loss=loss).run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    assert result.success.all()
    ratio = result.distance / case.nearest(L2)
    assert ratio.min() > 1 - 1e-5
    assert ratio.max() < (1.02 if classes == 2 or loss is margin else 1.1)  # 1 - p(y) sums over the boundaries


@pytest.mark.slow
def test_targeted_nearest_point(make_linear):
    """Two classes, so that the boundary of the target is the one there is."""
    case = make_linear(2, 0.6)
    result = LBFGS(12, 25).run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y, Targeted(1 - case.y)))
    assert (result.distance / case.nearest(L2)).max() < 1.02


@pytest.mark.slow
@pytest.mark.parametrize("goal", [None, RandomWrong()], ids=["untargeted", "targeted"])
def test_on_a_network(goal, digits_cnn, digits_test):
    x, y = (part[:48] for part in digits_test)
    oracle = Oracle.open(BoundThreat(digits_cnn), x, y, goal)
    result = LBFGS(6, 15).run(oracle)
    with torch.no_grad():
        label = digits_cnn(result.adversarial).argmax(1)
    assert torch.equal(oracle.goal.reached_by(label, 10), result.success)
    assert result.success.double().mean() > 0.9
    assert result.backwards.eq(90).all()
    assert result.forwards.eq(96).all()


@pytest.mark.slow
def test_a_sample_does_not_depend_on_its_batch(make_linear):
    case = make_linear(4, 0.3, batch=4, dtype=torch.float64)
    threat = BoundThreat(case.net, levels=None)
    whole = LBFGS(4, 15).run(Oracle.open(threat, case.x, case.y))
    single = [LBFGS(4, 15).run(Oracle.open(threat, case.x[i : i + 1], case.y[i : i + 1])) for i in range(4)]
    torch.testing.assert_close(whole.crafted, torch.cat([s.crafted for s in single]), rtol=0, atol=1e-9)


def test_log_wanted():
    logits = 3 * torch.randn(50, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y, target = torch.arange(50) % 10, (torch.arange(50) + 3) % 10
    p = logits.softmax(1)
    torch.testing.assert_close(log_wanted(logits, ResolvedGoal(y)), (1 - p.gather(1, y[:, None])[:, 0]).log())
    torch.testing.assert_close(log_wanted(logits, ResolvedGoal(y, target)), p.gather(1, target[:, None])[:, 0].log())
    assert log_wanted(torch.tensor([[40.0, 0.0]]), ResolvedGoal(torch.tensor([0]))) == -40


def test_at_least_one_pair():
    with pytest.raises(ContractError, match="expected memory of LBFGS as a whole number of at least 1, got 0"):
        LBFGS(memory=0)
