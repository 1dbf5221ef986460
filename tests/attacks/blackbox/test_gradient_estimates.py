"""NES and SPSA: estimates against the gradient of a linear model, reach against its closed form, queries, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban import threats
from vauban.attacks.blackbox.nes import NES
from vauban.attacks.blackbox.spsa import SPSA
from vauban.attacks.parts.differences import differences, estimate, reach
from vauban.core.errors import ContractError
from vauban.core.goals import Targeted
from vauban.core.losses import auto, cross_entropy, margin
from vauban.core.norms import L1, L2, Linf
from vauban.engine import Oracle

BOTH = pytest.mark.parametrize("make", [NES, SPSA])


class Halfspace(nn.Module):
    """Logits -f and f with f(x) = w.x - b; it counts the images it was shown."""

    def __init__(self, w: Tensor, b: float) -> None:
        super().__init__()
        self.w, self.b, self.shown = w, b, 0

    def forward(self, x: Tensor) -> Tensor:
        self.shown += len(x)
        f = x.flatten(1) @ self.w - self.b
        return torch.stack([-f, f], 1)


def halfspace(features: int) -> Halfspace:
    w = torch.randn(features, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return Halfspace(w, float(w.sum()) / 2)


def images(n: int, *shape: int) -> Tensor:
    x = 0.35 + 0.3 * torch.rand(n, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (x * 255).round() / 255


def door(net: nn.Module, x: Tensor, levels: int | None = None, **options: Any) -> Oracle:
    bound = threats.scores_only().bind(net, levels=levels, budget=options.pop("budget", None))
    return Oracle.open(bound, x, options.pop("y", net(x).argmax(1)), **options)


def rise(net: Halfspace, y: Tensor) -> Tensor:
    """Gradient of the margin: the other class minus y, 2 w or -2 w, `(batch, features)`."""
    return torch.where(y[:, None] == 0, 2 * net.w, -2 * net.w)


@pytest.mark.parametrize("levels", [None, 256])
def test_a_difference_of_a_linear_score_is_exact(levels: int | None) -> None:
    """w times the displacement of what the network saw, whatever rounding and [0,1] did to it."""
    net, x = halfspace(12), images(3, 3, 2, 2)
    oracle = door(net, x, levels)
    ahead = x[:, None] + torch.randn(3, 5, 3, 2, 2, generator=torch.Generator().manual_seed(2), dtype=x.dtype) / 3
    f, shift = differences(oracle, ahead, 2 * x[:, None] - ahead, margin)
    exact = torch.einsum("bkf,bf->bk", shift.flatten(2), rise(net, oracle.goal.y))
    torch.testing.assert_close(f, exact, atol=1e-12, rtol=1e-10)
    assert (ahead < 0).any() or (ahead > 1).any()


@BOTH
def test_the_estimate_of_a_linear_score_is_unbiased(make: Any) -> None:
    """It is the mean of (w.u) u over the drawn u, to rounding, and within six standard errors of w."""
    net, x, pairs = halfspace(6), images(4, 6), 4096
    oracle = door(net, x)
    kind = oracle.rng.normal if make is NES else oracle.rng.signs

    def draw(j: int) -> Tensor:
        return kind("direction", (6,), t=3, draw=j, dtype=torch.float64)

    g = estimate(oracle, x, draw, pairs, 512, 0.01, margin)
    w = rise(net, oracle.goal.y)
    u = torch.stack([draw(j) for j in range(pairs)], 1)
    torch.testing.assert_close(g, torch.einsum("bjf,bf,bjg->bg", u, w, u) / pairs, atol=1e-9, rtol=1e-9)
    # Var (w.u) u_i is |w|^2 + w_i^2 for Gaussian u, |w|^2 - w_i^2 for signs
    spread = w.square().sum(1, keepdim=True) + (1 if make is NES else -1) * w.square()
    assert ((g - w).abs() <= 6 * (spread / pairs).sqrt()).all()


@BOTH
def test_one_component_is_estimated_exactly_by_signs_and_by_any_probe_in_its_direction(make: Any) -> None:
    net, x = halfspace(1), images(5, 1)
    oracle = door(net, x)
    g = estimate(oracle, x, lambda j: torch.ones_like(x), 3, 2, 0.01, margin)
    torch.testing.assert_close(g, rise(net, oracle.goal.y), atol=1e-9, rtol=1e-9)


@BOTH
@pytest.mark.parametrize(("norm", "dual"), [(Linf, 1.0), (L2, 2.0)])
def test_breaks_what_can_be_broken_and_nothing_else(make: Any, norm: Any, dual: float) -> None:
    net, x = halfspace(8), images(6, 2, 2, 2)
    exact = (x.flatten(1) @ net.w - net.b).abs() / torch.linalg.vector_norm(net.w, dual)
    for share, fooled in ((1.2, True), (0.98, False)):
        options: dict[str, Any] = {"rel_stepsize": 0.1} if make is NES else {"lr": 0.004}
        result = make(norm(exact * share), steps=60, pairs=32, **options).run(door(net, x))
        assert result.success.tolist() == [fooled] * 6


@BOTH
def test_queries_are_those_of_the_docstring(make: Any) -> None:
    net, x = halfspace(12), images(4, 3, 2, 2)
    oracle = door(net, x)
    net.shown = 0
    attack = make(Linf(1e-4), steps=5, pairs=7, lot=3)
    result = attack.run(oracle)
    assert not result.success.any()
    assert (result.forwards == 5 * (2 * 7 + 1) + 1).all()
    assert int(result.forwards.sum()) == net.shown
    assert attack.passes == (76, 0)
    assert (result.backwards == 0).all()


@BOTH
def test_the_lot_is_a_matter_of_memory(make: Any) -> None:
    net, x = halfspace(12), images(3, 3, 2, 2)
    few, all_ = (make(Linf(0.02), steps=3, pairs=8, lot=lot).run(door(net, x)) for lot in (3, 100))
    torch.testing.assert_close(few.crafted, all_.crafted, atol=1e-12, rtol=0)
    assert torch.equal(few.forwards, all_.forwards)


@BOTH
def test_a_row_that_succeeds_pays_no_further(make: Any) -> None:
    net, x = halfspace(8), images(6, 8)
    exact = (x @ net.w - net.b).abs() / net.w.abs().sum()
    radius = exact * torch.tensor([30.0, 0.5, 30, 30, 0.5, 30], dtype=torch.float64)
    result = make(Linf(radius.clamp_max(0.3)), steps=10, pairs=16).run(door(net, x))
    assert result.success.tolist() == [True, False, True, True, False, True]
    assert (result.forwards[~result.success] == 10 * 33 + 1).all()
    assert (result.forwards[result.success] < 10 * 33).all()


@BOTH
def test_a_target_and_another_loss(make: Any, digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    x, y = digits_test[0][:4], digits_test[1][:4]
    bound = threats.scores_only().bind(digits_cnn, levels=256)
    rate: dict[str, Any] = {} if make is NES else {"lr": 0.05}
    for loss in (margin, cross_entropy):
        oracle = Oracle.open(bound, x, y, Targeted((y + 1) % 10))
        result = make(Linf(0.5), steps=15, pairs=24, loss=loss, **rate).run(oracle)
        assert result.success.any()
        assert torch.equal(digits_cnn(result.adversarial).argmax(1) == (y + 1) % 10, result.success)


@BOTH
def test_a_probe_is_seen_on_the_grid(make: Any) -> None:
    """sigma = 1e-6 rounds to nothing at 256 levels, and is one level there."""
    net, x = halfspace(12), images(4, 3, 2, 2)
    oracle = door(net, x, 256)
    assert reach(oracle, 1e-6) == 1 / 255
    assert reach(oracle, 0.1) == 0.1
    assert reach(door(net, x), 1e-6) == 1e-6
    small = {"sigma": 1e-6} if make is NES else {"delta": 1e-6, "lr": 0.05}
    assert make(Linf(0.5), steps=10, pairs=16, **small).run(oracle).success.all()


@BOTH
def test_what_it_cannot_do_is_refused_in_one_line(make: Any) -> None:
    name = make.__name__.lower()
    for wrong, message in (({"loss": auto}, f"for {name}, got auto; take margin"), ({"ball": L1(1)}, "l1:1")):
        with pytest.raises(ContractError, match=message) as refusal:
            make(**wrong)
        assert "\n" not in str(refusal.value)
