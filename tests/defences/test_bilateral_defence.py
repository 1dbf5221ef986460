"""The bilateral filter as a defence: a double loop over pixels, the adaptive attacker's gradient, and constants."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vauban import threats
from vauban.core.cards import carded
from vauban.core.errors import ContractError
from vauban.core.losses import margin
from vauban.core.norms import L2
from vauban.defences import Bilateral, load
from vauban.engine import Oracle


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_pixels(x: Tensor, domain: float, likeness: float) -> Tensor:
    out, reach = torch.empty_like(x), 3 * domain
    _, _, height, width = x.shape
    for n, i, j in [(n, i, j) for n in range(len(x)) for i in range(height) for j in range(width)]:
        weights, values = [], []
        for k, m in [(k, m) for k in range(height) for m in range(width)]:
            square = (i - k) ** 2 + (j - m) ** 2
            if square <= reach**2:
                unlike = sum(float(x[n, c, i, j] - x[n, c, k, m]) ** 2 for c in range(x.shape[1]))
                weights.append(math.exp(-square / (2 * domain**2) - unlike / (2 * likeness**2)))
                values.append(x[n, :, k, m])
        total = sum(w * v for w, v in zip(weights, values, strict=True))
        out[n, :, i, j] = total / sum(weights)
    return out


@pytest.mark.parametrize("shape", [(2, 3, 6, 5), (1, 1, 7, 4), (2, 2, 1, 1)])
@pytest.mark.parametrize(("domain", "likeness"), [(0.5, 0.2), (1.2, 0.4)])
def test_against_a_loop_over_pixels(shape: tuple[int, ...], domain: float, likeness: float) -> None:
    x = images(*shape)
    filtered = Bilateral(domain, likeness).apply(x)
    torch.testing.assert_close(filtered, by_pixels(x, domain, likeness), atol=1e-12, rtol=0)


def test_the_source_s_widths_weigh_a_like_neighbour_by_exp_minus_two() -> None:
    """Side and diagonal neighbours lie within 1.5 pixels: one bright pixel, unlike its neighbours by almost nothing."""
    x = torch.full((1, 1, 3, 3), 0.5, dtype=torch.float64)
    x[0, 0, 1, 1] += 1e-9
    side, corner = math.exp(-2), math.exp(-4)
    left = float(Bilateral().apply(x)[0, 0, 1, 1] - 0.5) / 1e-9
    assert left == pytest.approx(1 / (1 + 4 * side + 4 * corner), rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_a_constant_image_is_unchanged(value: float) -> None:
    x = torch.full((2, 3, 9, 8), value)
    assert torch.equal(Bilateral().apply(x), x)
    assert torch.equal(Bilateral(3.0, 0.05).apply(x), x)


def test_a_mean_stays_in_range_and_a_step_stays_a_step() -> None:
    x = images(2, 3, 16, 16).float()
    out = Bilateral(1.0, 0.2).apply(x)
    assert out.dtype == torch.float32
    assert out.amin() >= x.amin()
    assert out.amax() <= x.amax()
    step = torch.zeros(1, 1, 6, 6)
    step[..., 3:] = 1
    torch.testing.assert_close(Bilateral().apply(step), step, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1, 4, 5), (1, 3, 3, 3)])
def test_derivative_by_finite_differences(shape: tuple[int, ...]) -> None:
    assert torch.autograd.gradcheck(Bilateral(0.7, 0.3).apply, (images(*shape).requires_grad_(),))


def test_the_adaptive_threat_differentiates_the_filter_itself() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 4).double()).requires_grad_(False)
    defence = Bilateral()
    guarded = defence.wrap(net)
    assert [(card.name, card.random, dict(card.backward), card.draws) for _, card in carded(guarded)] == [
        ("bilateral", False, {}, 1)
    ]
    x = images(3, 3, 4, 4, seed=2)
    oracle = Oracle.open(threats.adaptive().bind(guarded, levels=None), x, guarded(x).argmax(1))
    _, (g,) = oracle.gradient(x, margin)
    leaf = x.clone().requires_grad_()
    (want,) = torch.autograd.grad(margin(net(defence.apply(leaf)), oracle.goal).sum(), leaf)
    torch.testing.assert_close(g, want, atol=1e-12, rtol=0)
    (straight,) = torch.autograd.grad(margin(net(leaf), oracle.goal).sum(), leaf)
    assert (L2.size(g - straight) > 0.01 * L2.size(g)).all()  # the filter's derivative is no identity


def test_by_name() -> None:
    assert load("bilateral") == Bilateral()
    assert load("bilateral:sigma_domain=1,sigma_range=0.1") == Bilateral(1, 0.1)
    assert load(Bilateral(0.5, 0.3).name) == Bilateral(0.5, 0.3)


@pytest.mark.parametrize(
    "widths", [{"sigma_domain": 0.0}, {"sigma_range": -0.2}, {"sigma_range": math.inf}, {"sigma_domain": math.nan}]
)
def test_bad_widths_are_refused_in_one_line(widths: dict[str, float]) -> None:
    with pytest.raises(ContractError, match=r"number (above 0|of at least 1e-06)") as caught:
        Bilateral(**widths)
    assert "\n" not in str(caught.value)


def test_vectors_are_refused() -> None:
    with pytest.raises(ContractError, match=r"for the bilateral filter, got shape \(2, 8\)"):
        Bilateral().apply(torch.zeros(2, 8))
