"""Additive noise: distribution, clipping, and where its randomness comes from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from vauban.core.cards import carded
from vauban.defences import GaussianNoise, NoiseDefence, SignNoise, UniformNoise

NOISES = [GaussianNoise(0.05), UniformNoise(0.1), SignNoise(0.1)]


@pytest.fixture
def grey() -> torch.Tensor:
    return torch.full((4, 1, 100, 100), 0.5, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield


@pytest.mark.parametrize(
    ("defence", "deviation"), [(GaussianNoise(0.05), 0.05), (UniformNoise(0.1), 0.1 / 3**0.5), (SignNoise(0.1), 0.1)]
)
def test_mean_and_deviation(defence: NoiseDefence, deviation: float, grey: torch.Tensor) -> None:
    d = defence.apply(grey) - grey
    assert float(d.mean()) == pytest.approx(0, abs=5 * deviation / d.numel() ** 0.5)
    assert float(d.std()) == pytest.approx(deviation, rel=0.02)


def test_supports(grey: torch.Tensor) -> None:
    assert (SignNoise(0.1).apply(grey) - grey).unique().tolist() == pytest.approx([-0.1, 0.1])
    uniform = UniformNoise(0.1).apply(grey) - grey
    assert uniform.min() == pytest.approx(-0.1, abs=1e-3)
    assert uniform.max() == pytest.approx(0.1, abs=1e-3)
    gaussian = (GaussianNoise(0.05).apply(grey) - grey) / 0.05
    assert float((gaussian.abs() < 1).double().mean()) == pytest.approx(0.6827, abs=0.02)


@pytest.mark.parametrize("defence", NOISES)
def test_clipped_and_keeps_the_input(defence: NoiseDefence) -> None:
    x = torch.tensor([[0.0, 1.0, 0.5]]).repeat(1, 50)
    before = x.clone()
    out = defence.apply(x)
    assert out.dtype == x.dtype
    assert out.min() == 0
    assert out.max() == 1
    assert torch.equal(x, before)


@pytest.mark.parametrize("defence", NOISES)
def test_the_global_seed_decides_the_draw(defence: NoiseDefence) -> None:
    x = torch.full((2, 3, 8, 8), 0.5)
    guarded = defence.wrap(nn.Flatten())
    torch.manual_seed(7)
    first, second = guarded(x), guarded(x)
    torch.manual_seed(7)
    assert torch.equal(guarded(x), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("defence", NOISES)
def test_the_card_asks_for_expectation_over_draws(defence: NoiseDefence) -> None:
    ((_, card),) = carded(defence.wrap(nn.Flatten()))
    assert card.random
    assert card.draws == 16
    assert not card.not_differentiable
    x = torch.full((1, 1, 4, 4), 0.5, requires_grad=True)
    assert torch.equal(torch.autograd.grad(defence.apply(x).sum(), x)[0], torch.ones_like(x))
