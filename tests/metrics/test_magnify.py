"""Adversarial magnification: the printed formula, constants, and what it is for."""

from __future__ import annotations

import pytest
import torch

from vauban.core.errors import ContractError
from vauban.core.rng import Stream
from vauban.laplacian.bilateral import bilateral
from vauban.metrics import magnify

IDS = torch.arange(2)


def test_the_formula() -> None:
    x = Stream(0, IDS).uniform("x", (3, 12, 10), dtype=torch.float64)
    detail = x - bilateral(x, 2.0, 0.3)
    local = bilateral(detail**2, 2.0, 0.3, guide=x).sqrt()
    overall = x.flatten(2).std(2, correction=0)[..., None, None]
    want = detail / (0.6 * local + 0.4 * overall)
    torch.testing.assert_close(magnify(x, beta=0.6, sigma_domain=2.0, sigma_range=0.3), want, atol=1e-12, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("beta", [0.0, 0.8, 1.0])
def test_a_constant_gives_zero(value: float, beta: float) -> None:
    x = torch.full((2, 3, 30, 31), value)
    assert torch.equal(magnify(x, beta=beta), torch.zeros_like(x))
    x[:, 1] = Stream(0, IDS).uniform("x", (30, 31), dtype=torch.float32)
    assert torch.equal(magnify(x, beta=beta)[:, ::2], torch.zeros(2, 2, 30, 31))
    assert magnify(x, beta=beta)[:, 1].abs().max() > 0
    assert torch.equal(magnify(torch.full((1, 1, 1, 1), value), beta=beta), torch.zeros(1, 1, 1, 1))


def test_noise_on_flat_regions_is_revealed_and_an_edge_is_not() -> None:
    x = torch.full((2, 1, 40, 40), 0.2)
    x[..., 20:] = 0.8
    noisy = x + Stream(1, IDS).normal("n", (1, 40, 40), dtype=torch.float32) * 2 / 255
    assert magnify(x).abs().max() < 1e-3
    seen = magnify(noisy)
    assert (seen.flatten(1).std(1) > 20 * (noisy - x).flatten(1).std(1) / 2).all()


@pytest.mark.slow
def test_batch_equals_singles_and_channels_share_the_range_kernel() -> None:
    x = Stream(2, IDS).uniform("x", (3, 16, 16), dtype=torch.float64)
    torch.testing.assert_close(torch.cat([magnify(v[None]) for v in x]), magnify(x), atol=1e-12, rtol=0)
    assert (magnify(x)[:, :1] - magnify(x[:, :1])).abs().max() > 1e-3


def test_bad_input() -> None:
    x = torch.zeros(1, 1, 4, 4)
    for images in (x[0], x.byte()):
        with pytest.raises(ContractError, match="float images"):
            magnify(images)
    for arguments in ({"beta": 1.5}, {"sigma_domain": 0.0}, {"sigma_range": -1.0}):
        with pytest.raises(ContractError):
            magnify(x, **arguments)
