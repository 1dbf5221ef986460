"""ZOO: derivatives, draws, Adam's counts and the distance of a linear model, each against what is known; its queries."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban import threats
from vauban.attacks.blackbox.zoo import ZOO, ZOOSteps
from vauban.attacks.parts.differences import partials
from vauban.attacks.parts.importance import drawn, importance
from vauban.core.goals import Targeted
from vauban.core.losses import margin
from vauban.engine import Oracle


class Slope(nn.Module):
    """Logits -f and f with f(x) = w.x - b; it counts the images it was shown."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.w = torch.randn(features, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        self.b, self.shown = float(self.w.sum()) / 2, 0

    def forward(self, x: Tensor) -> Tensor:
        self.shown += len(x)
        f = x.flatten(1) @ self.w - self.b
        return torch.stack([-f, f], 1)


def images(n: int, *shape: int) -> Tensor:
    x = 0.35 + 0.3 * torch.rand(n, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (x * 255).round() / 255


def door(net: nn.Module, x: Tensor, levels: int | None = None, **options: Any) -> Oracle:
    bound = threats.scores_only().bind(net, levels=levels, budget=options.pop("budget", None))
    return Oracle.open(bound, x, options.pop("y", net(x).argmax(1)), **options)


@pytest.mark.parametrize("levels", [None, 256])
def test_the_derivative_of_a_linear_score_is_exact(levels: int | None) -> None:
    """In the middle, at 0 and at 1, where it is one-sided; a masked coordinate has none."""
    net, x = Slope(12), images(4, 3, 2, 2)
    x[0, 0, 0], x[1, 1, 1] = 0, 1
    mask = torch.ones_like(x, dtype=torch.bool)
    mask[2, 2, 0, 1] = False
    oracle = door(net, x, levels, mask=mask)
    index = torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(k)) for k in range(4)])
    rise = torch.where(oracle.goal.y[:, None] == 0, 2 * net.w, -2 * net.w) * mask.flatten(1)
    for lot in (5, 12):
        got = partials(oracle, x, index, 1e-4, lot, margin)
        torch.testing.assert_close(got, rise.gather(1, index), atol=1e-9, rtol=1e-9)


def test_importance_is_the_largest_change_of_a_region() -> None:
    x0 = torch.full((2, 2, 4, 5), 0.5, dtype=torch.float64)
    net = Slope(40)
    oracle = door(net, x0)
    x = x0.clone()
    x[0, 1, 0, 0], x[0, 1, 1, 1], x[0, 0, 3, 4] = 0.6, 0.2, 0.55
    p = importance(oracle, x, 2, 0.25).view_as(x)
    hot, edge = torch.zeros_like(x[0]), torch.zeros_like(x[0])
    hot[1, :2, :2], edge[0, 2:, 4:] = 0.3, 0.05  # 4 coordinates of 0.3, and 2 of 0.05 at the border
    weight = hot + edge
    torch.testing.assert_close(p[0], 0.75 * weight / weight.sum() + 0.25 / 40)
    torch.testing.assert_close(p[1], torch.full_like(p[1], 1 / 40))
    vectors = door(net, x0.flatten(1))
    p = importance(vectors, x.flatten(1), 2, 0.0)[0].view_as(x[0])
    torch.testing.assert_close(p, (x - x0)[0].abs() / (x - x0)[0].abs().sum())


def test_a_masked_coordinate_has_no_share() -> None:
    x0 = images(3, 1, 4, 4)
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[:, 1:3] = True
    oracle = door(Slope(16), x0, mask=mask)
    for x in (x0, oracle.domain.project(x0 + 0.1)):
        p = importance(oracle, x, 2, 0.2)
        torch.testing.assert_close(p.sum(1), torch.ones(3, dtype=p.dtype))
        assert not p[:, ~mask.flatten()].any()
        assert mask.flatten()[drawn(oracle, p, 8, 3)].all()


def test_coordinates_are_drawn_in_proportion_and_once() -> None:
    n = 4000
    x0 = torch.full((n, 4), 0.5, dtype=torch.float64)
    oracle = door(Slope(4), x0)
    p = torch.tensor([0.1, 0.2, 0.7, 0.0], dtype=torch.float64).expand(n, 4)
    first = drawn(oracle, p, 1, 5).flatten()
    share = torch.bincount(first, minlength=4).double() / n
    assert ((share - p[0]).abs() <= 5 * (p[0] * (1 - p[0]) / n).sqrt()).all()
    three = drawn(oracle, p, 3, 6)
    assert torch.equal(three.sort(1).values, torch.tensor([0, 1, 2]).expand(n, 3))
    assert torch.equal(three[:7], drawn(oracle.rows(torch.arange(7)), p[:7], 3, 6))


def test_adam_counts_the_steps_of_every_coordinate() -> None:
    """Against Adam in scalars, written out for every coordinate, on the objective of a linear model."""
    net, x0 = Slope(6), images(2, 6)
    oracle = door(net, x0)
    attack = ZOOSteps(9, 2, 0.02, 1e-4, 0.0, 0.5, 1, 64)
    c = torch.tensor([0.3, 1.0], dtype=torch.float64)
    state = attack.start(oracle, c=c)
    for t in range(9):
        state = attack.step(oracle, state, t)
    for row in range(2):
        sign = 1 if int(oracle.goal.y[row]) == 0 else -1
        x, m, v, k = x0[row].tolist(), [0.0] * 6, [0.0] * 6, [0] * 6
        for t in range(9):
            now = torch.tensor(x, dtype=torch.float64)
            seen = x0.clone()
            seen[row] = now
            behind = sign * float(now @ net.w - net.b) <= 0
            for i in drawn(oracle, importance(oracle, seen, 1, 0.5), 2, t)[row].tolist():
                g = 2 * (x[i] - float(x0[row, i])) - float(c[row]) * behind * 2 * sign * float(net.w[i])
                k[i], m[i], v[i] = k[i] + 1, 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g * g
                x[i] -= 0.02 * (m[i] / (1 - 0.9 ** k[i])) / (math.sqrt(v[i] / (1 - 0.999 ** k[i])) + 1e-8)
                x[i] = min(max(x[i], 0.0), 1.0)
        torch.testing.assert_close(state.x[row], torch.tensor(x, dtype=torch.float64), atol=1e-7, rtol=0)
        assert state.count[row].tolist() == k
    assert state.count.sum(1).tolist() == [18, 18]


@pytest.mark.parametrize("shape", [(3, 2, 2), (12,)])
def test_near_the_closed_form_distance(shape: tuple[int, ...]) -> None:
    """Within 5 % after 4 x 250 steps on half of the coordinates, 13 004 queries."""
    net, x = Slope(12), images(6, *shape)
    exact = (x.flatten(1) @ net.w - net.b).abs() / net.w.norm()
    result = ZOO(search_steps=4, steps=250, coordinates=6, lr=0.001, uniform=0.5).run(door(net, x))
    assert result.success.all()
    assert (result.forwards == 4 * (250 * 13 + 1)).all()
    assert (result.distance >= exact * (1 - 1e-9)).all()
    assert (result.distance <= 1.05 * exact).all()


def test_queries_are_those_of_the_docstring() -> None:
    net, x = Slope(12), images(3, 3, 2, 2)
    oracle = door(net, x)
    net.shown = 0
    attack = ZOO(search_steps=2, steps=7, coordinates=5, lot=3)
    result = attack.run(oracle)
    assert attack.passes == (2 * (7 * 11 + 1), 0)
    assert (result.forwards == attack.passes[0]).all()
    assert int(result.forwards.sum()) == net.shown
    assert (ZOO(search_steps=2, steps=7).run(oracle).forwards == 2 * (7 * 25 + 1)).all()  # it has 12 coordinates


def test_the_lot_is_a_matter_of_memory() -> None:
    net, x = Slope(12), images(3, 3, 2, 2)
    few, all_ = (ZOO(2, 12, coordinates=8, lot=lot).run(door(net, x)) for lot in (3, 100))
    torch.testing.assert_close(few.crafted, all_.crafted, atol=1e-12, rtol=0)


def test_a_target_a_margin_and_the_grid(digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    x, y = digits_test[0][:4], digits_test[1][:4]
    target = (y + 1) % 10
    oracle = door(digits_cnn, x, 256, y=y, goal=Targeted(target))
    result = ZOO(3, 40, coordinates=32, lr=0.05, kappa=0.5).run(oracle)
    assert result.success.any()
    logits = digits_cnn(result.adversarial[result.success])
    assert (margin(logits, oracle.goal.rows(result.success)) >= 0.5).all()
    assert (logits.argmax(1) == target[result.success]).all()
