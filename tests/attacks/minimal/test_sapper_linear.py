"""Sapper where the answer is known: linear classifiers, one step by hand, scales and shifts of the logits."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from scipy.optimize import brentq
from torch import nn

from vauban.attacks.minimal.sapper import LEAST, Sapper
from vauban.core.norms import L1, L2, Linf
from vauban.core.tensors import dot, like
from vauban.engine import BoundThreat, Oracle, iterate

FOOT = {"decay": (1.0, 1.0), "refine": (1.0, 1.0)}
ROUNDING = 1e-5


@pytest.mark.parametrize("steps", [20, 100])
@pytest.mark.parametrize("norm", [L2, Linf])
def test_the_foot_of_the_perpendicular_is_the_closed_form(norm, steps, make_linear):
    """What is left is the least share by which a step may aim beyond the boundary."""
    case = make_linear(2, 0.6)
    result = Sapper(steps, norm, **FOOT).run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    ratio = result.distance / case.nearest(norm)
    assert ratio.min() > 1 - ROUNDING
    assert ratio.max() < 1 + LEAST * (1 + LEAST) + ROUNDING


def fewest(w: torch.Tensor, x: torch.Tensor, need: float) -> float:
    """min ||d||_1 with <w, d> >= need and x + d in [0,1]: the largest |w| to their ends, one after the other."""
    room = torch.where(w > 0, 1 - x, x)
    order = w.abs().argsort(descending=True)
    gain = (w.abs() * room)[order].cumsum(0)
    full = int((gain < need).sum())
    before = float(gain[full - 1]) if full else 0.0
    return float(room[order[:full]].sum()) + (need - before) / float(w.abs()[order[full]])


@pytest.mark.parametrize("side", [8, 20])
@pytest.mark.parametrize(("push", "most"), [(0.1, 1.12), (0.6, 1.12)])
def test_l1_against_the_linear_programme(push, most, side, make_linear):
    """Equal or proportional steps on the components of largest gradient: at most their largest over their mean too long."""
    case = make_linear(2, push, side=side)
    result = Sapper(20, L1).run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    z, weight = case.net(case.x), case.net[1].weight
    assert result.success.all()
    for row, (image, y) in enumerate(zip(case.x.flatten(1), case.y, strict=True)):
        ratio = float(result.distance[row]) / fewest(weight[1 - y] - weight[y], image, float(z[row, y] - z[row, 1 - y]))
        assert 1 - ROUNDING < ratio < most


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("norm", [L2, Linf])
def test_the_defaults_come_near_among_several_classes(norm, classes, make_linear):
    case = make_linear(classes, 0.6)
    for steps, most in ((20, 1.15), (100, 1.02)):
        result = Sapper(steps, norm).run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
        ratio = result.distance / case.nearest(norm)
        assert ratio.min() > 1 - ROUNDING
        assert ratio.max() < most


@pytest.mark.parametrize("norm", [L2, Linf])
def test_where_the_box_binds(norm):
    """Half of the pixels at 0 or 1: the smallest perturbation is clip(x + t s) - x, t the root of one equation."""
    g = torch.Generator().manual_seed(3)
    w, x = torch.randn(64, generator=g), torch.rand(8, 64, generator=g)
    x[:, ::2] = x[:, ::2].round()
    bias = -(x @ w).max() - 3
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).requires_grad_(False)
    net[1].weight.copy_(torch.stack([torch.zeros(64), w]))
    net[1].bias.copy_(torch.stack([torch.zeros(()), bias]))
    result = Sapper(20, norm).run(
        Oracle.open(BoundThreat(net, levels=None), x.view(8, 1, 8, 8), torch.zeros(8, dtype=torch.int64))
    )
    s = norm.steepest(w[None])[0]
    for image, distance in zip(x, result.distance, strict=True):

        def score(t: float, image: torch.Tensor = image) -> float:
            return float((image + t * s).clamp(0, 1) @ w + bias)

        smallest = norm.size(((image + brentq(score, 0, 100) * s).clamp(0, 1) - image)[None])
        assert 1 - 1e-4 < float(distance / smallest) < 1.01


class Curved(nn.Module):
    """Two classes divided by a curved surface, in float64."""

    def __init__(self) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(5)
        self.a, self.b = (torch.randn(30, k, generator=g, dtype=torch.float64) for k in (12, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        m = (x.flatten(1) - 0.5) @ self.b / 2 + ((x.flatten(1) - 0.5) @ self.a).tanh().mean(1, keepdim=True) - 0.5
        return torch.cat([-m, m], 1)


def curved() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(6)
    x = 0.5 + 0.02 * torch.randn(6, 1, 5, 6, generator=g, dtype=torch.float64)
    return Curved(), x, torch.zeros(6, dtype=torch.int64)


def test_every_step_is_the_one_computed_by_hand():
    """Before the first success to (1 + over) times the linearised distance from x, or `over` of the way so far if that is
    more; afterwards to the foot of the perpendicular through the linearised boundary, `over` of the way beyond."""
    net, x0, y = curved()
    assert (net(x0).argmax(1) == y).all()
    attack, path = Sapper(8, **FOOT), []
    iterate(
        attack, Oracle.open(BoundThreat(net, levels=None), x0, y), callback=lambda t, oracle, state: path.append(state)
    )
    start = attack.start(Oracle.open(BoundThreat(net, levels=None), x0, y).recording("nearest", L2))
    seen = set()
    for before, after in pairwise([start, *path]):
        x = before.x.clone().requires_grad_(True)
        z = net(x)
        m = z[:, 1] - z[:, 0]
        (g,) = torch.autograd.grad(m.sum(), x)
        m, length = m.detach(), L2.size(g)
        size, gap = L2.size(before.x - x0), -m / length
        wide = gap + after.over * torch.maximum(size, gap)
        outside = before.x + like(wide / length, g) * g
        foot = (dot(g, before.x - x0) - m + after.over * size * length) / length.square()
        expected = torch.where(like(after.crossed, g), x0 + like(foot, g) * g, outside)
        torch.testing.assert_close(after.x, expected, rtol=0, atol=1e-12)
        seen |= set(after.crossed.tolist())
    assert seen == {True, False}


def test_the_shares_beyond_the_boundary():
    """first until the first success, over at it, then times `up` after a failure and `down` after a success, bounded."""
    net, x0, y = curved()
    path = []
    iterate(
        Sapper(12),
        Oracle.open(BoundThreat(net, levels=None), x0, y),
        callback=lambda t, oracle, state: path.append(state),
    )
    torch.testing.assert_close(path[0].over, torch.full_like(path[0].over, 0.1 * 2.5))
    for before, after in pairwise(path):
        won = net(before.x).argmax(1) != y
        expected = before.over * torch.where(before.crossed & won, 0.55, 2.5)
        expected = torch.where(won & ~before.crossed, 0.1, expected).clamp(1e-4, 1.0)
        torch.testing.assert_close(after.over, expected)
        assert torch.equal(after.crossed, before.crossed | won)


class Affine(nn.Module):
    def __init__(self, net: nn.Module, factor: float, shift: float) -> None:
        super().__init__()
        self.net, self.factor, self.shift = net, factor, shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.net(x) + self.shift


def followed(net, x, y, levels, steps):
    """The path of the iterates, and the result."""
    path = []
    threat = BoundThreat(net, levels=levels)
    result = iterate(Sapper(steps), Oracle.open(threat, x, y), callback=lambda t, oracle, state: path.append(state.x))
    return torch.stack(path), result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factor", "shift"), [(1000.0, 0.0), (1e-3, 0.0), (1.0, 700.0), (1.0, -700.0), (1000.0, -50.0)]
)
@pytest.mark.parametrize("steps", [20, 60])
def test_scale_and_shift_of_the_logits_change_nothing(factor, shift, steps, make_linear):
    case = make_linear(5, 0.3, batch=6, dtype=torch.float64)
    path, result = followed(case.net, case.x, case.y, None, steps)
    other_path, other = followed(Affine(case.net, factor, shift), case.x, case.y, None, steps)
    torch.testing.assert_close(other_path, path, rtol=0, atol=1e-8)
    torch.testing.assert_close(other.distance, result.distance, rtol=1e-8, atol=0)


@pytest.mark.parametrize("factor", [1024.0, 2.0**-20])
def test_on_the_grid_a_power_of_two_changes_no_pixel(factor, digits_cnn, digits_test):
    x, y = (part[:16] for part in digits_test)
    path, result = followed(digits_cnn, x, y, 256, 20)
    other_path, other = followed(Affine(digits_cnn, factor, 0.0), x, y, 256, 20)
    torch.testing.assert_close(other_path, path, rtol=0, atol=1e-5)
    assert torch.equal(other.adversarial, result.adversarial)
