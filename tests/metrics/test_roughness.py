"""Roughness against a dense Laplacian, and the perturbations whose value is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.laplacian.smoothing import DIGITS, PHOTOGRAPHS, Kernel
from vauban.metrics import registry, roughness


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(x0: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """I - D^-1/2 W D^-1/2 and the degrees of one image, pixel by pixel."""
    _, height, width = x0.shape
    w = torch.zeros(height * width, height * width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            for k, m in ((i + 1, j), (i, j + 1)):
                if k < height and m < width:
                    near = torch.exp(-rate * (x0[:, i, j] - x0[:, k, m]).square().sum())
                    w[i * width + j, k * width + m] = w[k * width + m, i * width + j] = near
    degree = w.sum(1)
    scale = degree.rsqrt()
    return torch.eye(height * width, dtype=torch.float64) - scale[:, None] * w * scale, degree


@pytest.mark.parametrize(("channels", "rate"), [(1, DIGITS.rate), (3, 5.0)])
def test_the_quotient_of_a_dense_laplacian(channels: int, rate: float) -> None:
    x0, x = noise(2, channels, 5, 4), noise(2, channels, 5, 4, seed=1)
    kernel = None if channels == 1 else Kernel(rate=rate)
    for k, found in enumerate(roughness(x0, x, kernel)):
        laplacian, _ = dense(x0[k], rate)
        r = (x - x0)[k].flatten(1)
        assert float(found) == pytest.approx(float((r @ laplacian * r).sum() / r.square().sum()), abs=1e-12)


def test_what_is_as_smooth_as_the_image_has_none() -> None:
    """r = D^1/2 1 is the smoothest of all; on a flat image of even sides a chessboard of it is the roughest."""
    flat = torch.full((1, 1, 6, 6), 0.4, dtype=torch.float64)
    degree = dense(flat[0], 10.0)[1].reshape(1, 1, 6, 6)
    board = 1 - 2 * ((torch.arange(6)[:, None] + torch.arange(6)) % 2)
    smoothest = 0.01 * degree.sqrt()
    assert float(roughness(flat, flat + smoothest)) == pytest.approx(0, abs=1e-12)
    assert float(roughness(flat, flat + smoothest * board)) == pytest.approx(2, abs=1e-12)


def test_its_size_does_not_matter_and_nothing_is_not_rough() -> None:
    x0, r = noise(3, 3, 6, 5), noise(3, 3, 6, 5, seed=2) - 0.5
    torch.testing.assert_close(roughness(x0, x0 + 1e-6 * r), roughness(x0, x0 + r), rtol=1e-6, atol=1e-9)
    assert roughness(x0, x0).tolist() == [0, 0, 0]


def test_the_kernel_follows_from_the_channels() -> None:
    grey, colour = noise(1, 1, 6, 6), noise(1, 3, 6, 6)
    r = noise(1, 1, 6, 6, seed=3)
    assert roughness(grey, grey + r).equal(roughness(grey, grey + r, DIGITS))
    assert not roughness(grey, grey + r).equal(roughness(grey, grey + r, PHOTOGRAPHS))
    assert roughness(colour, colour + r).equal(roughness(colour, colour + r, PHOTOGRAPHS))


def test_vectors_have_no_neighbours() -> None:
    assert registry.get("roughness").facts["unit"] == "1"
    with pytest.raises(ContractError, match="height, width"):
        roughness(noise(2, 9), noise(2, 9))
