"""FAB: its projections against a solver, its path against a few lines of the paper, distances that are known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize
from torch import Tensor, nn

from vauban.attacks.minimal.fab import FAB
from vauban.attacks.parts.box_projection import to_hyperplane
from vauban.core.goals import Targeted
from vauban.core.norms import L1, L2, Linf, Norm
from vauban.core.pixel_grid import on_grid
from vauban.engine import BoundThreat, Oracle, StopInside, iterate


def solver(x: Tensor, w: Tensor, gap: float, norm: Norm) -> float:
    """Length of the shortest way by linear programming, L2 by sequential quadratic programming."""
    n = len(x)
    if norm is L2:
        bounds = [(-float(v), 1 - float(v)) for v in x]
        weights = w.numpy()
        done = minimize(
            lambda d: (d @ d) / 2,
            [0.0] * n,
            jac=lambda d: d,
            bounds=bounds,
            constraints={"type": "eq", "fun": lambda d: weights @ d - gap, "jac": lambda d: weights},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        return float((done.x @ done.x) ** 0.5)
    # d = up - down with up, down >= 0; L1: their sum, L-infinity: the largest t with up + down <= t
    up, down = [(0, 1 - float(v)) for v in x], [(0, float(v)) for v in x]
    row = [*w.tolist(), *(-w).tolist()]
    if norm is L1:
        return float(linprog([1.0] * (2 * n), A_eq=[row], b_eq=[gap], bounds=up + down).fun)
    limits = [[float(j in (i, i + n)) for j in range(2 * n)] + [-1.0] for i in range(n)]
    whole = linprog([0.0] * (2 * n) + [1.0], limits, [0.0] * n, [[*row, 0.0]], [gap], [*up, *down, (0, None)])
    return float(whole.fun)


@pytest.mark.parametrize("norm", [Linf, L2, L1])
@given(seed=st.integers(0, 100_000), n=st.integers(1, 9), share=st.floats(-0.95, 0.95), edges=st.booleans())
def test_the_way_to_a_hyperplane_is_the_shortest(norm, seed, n, share, edges) -> None:
    g = torch.Generator().manual_seed(seed)
    x, w = torch.rand(n, generator=g, dtype=torch.float64), torch.randn(n, generator=g, dtype=torch.float64)
    if edges:
        x[::2], w[1::3] = x[::2].round(), 0
    reach = float(torch.where(w * share > 0, 1 - x, x) @ w.abs())
    gap = share * reach
    d = to_hyperplane(x[None], w[None], torch.tensor([gap]), norm)[0]
    assert float(w @ d) == pytest.approx(gap, abs=1e-6 * max(1.0, abs(gap)))
    assert ((x + d >= -1e-12) & (x + d <= 1 + 1e-12)).all()
    assert (d[w == 0] == 0).all()
    assert float(norm.size(d[None])) == pytest.approx(solver(x, w, gap, norm), abs=2e-5)


@pytest.mark.parametrize("norm", [Linf, L2, L1])
def test_out_of_reach_everything_moves_and_without_a_normal_nothing(norm) -> None:
    x, w = torch.tensor([[0.2, 0.7, 0.5], [0.2, 0.7, 0.5]]), torch.tensor([[2.0, -1.0, 0.0], [0.0, 0.0, 0.0]])
    d = to_hyperplane(x, w, torch.tensor([50.0, 1.0]), norm)
    torch.testing.assert_close(x + d, torch.tensor([[1.0, 0.0, 0.5], [0.2, 0.7, 0.5]]))
    tiny = to_hyperplane(x[:1], 1e-30 * w[:1], torch.tensor([1e-30]), norm)
    torch.testing.assert_close(tiny, to_hyperplane(x[:1], w[:1], torch.tensor([1.0]), norm))


def reference(net: nn.Module, x0: Tensor, y: int, norm: Norm, steps: int, target: int | None) -> list[Tensor]:
    """Iterates of one image with the paper's letters."""
    x, path = x0.clone(), []
    size = lambda v: float(norm.size(v[None]))  # noqa: E731
    for _ in range(steps):
        leaf = x.clone().requires_grad_(True)
        z = net(leaf[None])[0]
        planes = []
        for k in range(len(z)):
            if k != y and (target is None or k == target):
                (w,) = torch.autograd.grad(z[k] - z[y], leaf, retain_graph=True)
                f = float((z[k] - z[y]).detach())
                planes.append((abs(f) / float(norm.dual(w[None])), f, w))
        _, f, w = min(planes, key=lambda plane: plane[0])
        d = to_hyperplane(x[None], w[None], torch.tensor([-f], dtype=torch.float64), norm)[0]
        d0 = to_hyperplane(
            x0[None], w[None], torch.tensor([-f + float((w * (x - x0)).sum())], dtype=torch.float64), norm
        )[0]
        alpha = min(size(d) / (size(d) + size(d0)), 0.1)
        x = ((1 - alpha) * (x + 1.05 * d) + alpha * (x0 + 1.05 * d0)).clamp(0, 1)
        if int(net(x[None]).argmax()) != y:
            x = x0 + 0.9 * (x - x0)
        path.append(x)
    return path


@pytest.mark.parametrize("norm", [Linf, L2, L1])
@pytest.mark.parametrize("toward", [False, True])
def test_the_path_is_that_of_the_paper(norm, toward, digits_mlp, digits_test, copied) -> None:
    net = copied(digits_mlp).double()
    x, y = digits_test[0][4:8].double(), digits_test[1][4:8]
    attack, path = FAB(12, norm, n_target=int(toward)), []
    oracle = Oracle.open(BoundThreat(net, levels=None), x, y)
    second = net(x).scatter(1, y[:, None], -torch.inf).argmax(1)
    iterate(attack, attack.headed(oracle)[0], callback=lambda t, oracle, state: path.append(state.x))
    for i in range(4):
        wanted = reference(net, x[i], int(y[i]), norm, 12, int(second[i]) if toward else None)
        for here, want in zip(path, wanted, strict=True):
            torch.testing.assert_close(here[i], want, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("norm", "push"), [(Linf, 0.6), (L2, 0.6), (L1, 0.1)])
@pytest.mark.parametrize(
    "attack", [FAB(20), FAB(20, n_target=9), FAB(10, restarts=3)], ids=["fab", "fab-t", "restarts"]
)
def test_the_distance_of_a_linear_model(attack, norm, push, make_linear) -> None:
    case = make_linear(5, push)
    attack = FAB(attack.steps, norm, attack.restarts, attack.n_target)
    result = attack.run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    assert result.success.all()
    ratio = result.distance / case.nearest(norm)
    assert ratio.min() > 1 - 1e-4
    assert ratio.max() < (1.01 if norm is not L1 else 1.1)  # in L1 the box binds


@pytest.mark.parametrize("norm", [Linf, L2, L1])
def test_targets_and_rounded_shows(norm, digits_cnn, digits_test) -> None:
    x, y = (part[:16] for part in digits_test)
    target = (y + 3) % 10
    result = FAB(30, norm).run(Oracle.open(BoundThreat(digits_cnn), x, y, Targeted(target)))
    assert result.success.double().mean() > 0.8
    assert on_grid(result.adversarial, 256)
    won = result.success
    assert torch.equal(digits_cnn(result.adversarial[won]).argmax(1), target[won])
    torch.testing.assert_close(result.distance[won], norm.size(result.adversarial - x)[won])


def test_the_final_search_only_comes_nearer(digits_cnn, digits_test) -> None:
    x, y = (part[:32] for part in digits_test)
    threat = BoundThreat(digits_cnn, levels=None)
    plain, finished = (FAB(4, L2, search_steps=tries).run(Oracle.open(threat, x, y)) for tries in (0, 3))
    assert torch.equal(plain.success, finished.success)
    assert (finished.distance <= plain.distance).all()
    won = plain.success
    assert (finished.distance < plain.distance)[won].double().mean() > 0.5
    assert torch.equal(finished.forwards - plain.forwards, 5 * won.long())
    assert (digits_cnn(finished.adversarial).argmax(1) != y)[won].all()


def test_stopped_inside_a_ball(digits_cnn, digits_test) -> None:
    x, y = (part[:32] for part in digits_test)
    nearest = FAB(30, Linf, search_steps=0).run(Oracle.open(BoundThreat(digits_cnn, levels=None), x, y))
    inside = StopInside(FAB(30), Linf(0.1)).run(Oracle.open(BoundThreat(digits_cnn, levels=None), x, y))
    assert torch.equal(inside.success, nearest.distance <= 0.1)
