"""SSIM and PSNR against SciPy, closed forms and symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.metrics import Metric, perceptual, psnr, ssim

C1, C2 = 0.0001, 0.0009


def pair(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(shape, generator=g)
    return x, (x + 0.1 * torch.randn(shape, generator=g)).clamp(0, 1)


def scipy_mean(image: np.ndarray, size: int) -> np.ndarray:
    """Gaussian mean at the positions whose whole window lies in the image."""
    r = size // 2
    full = ndimage.gaussian_filter(image, 1.5, mode="constant", radius=r)
    return full[r : image.shape[0] - r, r : image.shape[1] - r]


def scipy_ssim(a: np.ndarray, b: np.ndarray, size: int) -> float:
    m_a, m_b = scipy_mean(a, size), scipy_mean(b, size)
    s_a, s_b = scipy_mean(a * a, size) - m_a**2, scipy_mean(b * b, size) - m_b**2
    s_ab = scipy_mean(a * b, size) - m_a * m_b
    top, bottom = (2 * m_a * m_b + C1) * (2 * s_ab + C2), (m_a**2 + m_b**2 + C1) * (s_a + s_b + C2)
    return float((top / bottom).mean())


@pytest.mark.parametrize(
    ("shape", "size"),
    [((3, 3, 32, 32), 11), ((2, 1, 28, 31), 11), ((2, 1, 11, 11), 11), ((2, 1, 8, 8), 7), ((2, 3, 10, 5), 5)],
)
def test_ssim_is_scipys(shape: tuple[int, ...], size: int) -> None:
    x, y = pair(*shape)
    expected = [
        np.mean([scipy_ssim(p, q, size) for p, q in zip(a, b, strict=True)])
        for a, b in zip(x.double().numpy(), y.double().numpy(), strict=True)
    ]
    result = ssim(x, y)
    assert result.dtype == torch.float64
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-9)


@given(seed=st.integers(0, 1000), height=st.integers(1, 14), width=st.integers(1, 14), channels=st.integers(1, 3))
@settings(deadline=None, max_examples=40)
def test_ssim_is_symmetric_bounded_and_one_on_the_diagonal(seed: int, height: int, width: int, channels: int) -> None:
    x, y = pair(2, channels, height, width, seed=seed)
    assert torch.allclose(ssim(x, y), ssim(y, x), atol=1e-12)
    assert torch.allclose(ssim(x, x), torch.ones(2, dtype=torch.float64), atol=1e-12)
    assert (ssim(x, y).abs() <= 1 + 1e-12).all()


@given(a=st.floats(0, 1), b=st.floats(0, 1))
@settings(deadline=None, max_examples=30)
def test_ssim_of_two_constants_is_the_luminance_term(a: float, b: float) -> None:
    x, y = (torch.full((1, 1, 12, 12), v, dtype=torch.float64) for v in (a, b))
    assert float(ssim(x, y)) == pytest.approx((2 * a * b + C1) / (a * a + b * b + C1), abs=1e-9)


def test_ssim_of_a_shifted_image_keeps_its_structure() -> None:
    x = pair(1, 1, 20, 20)[0].double() * 0.5
    mean = scipy_mean(x[0, 0].numpy(), 11)
    expected = ((2 * mean * (mean + 0.3) + C1) / (mean**2 + (mean + 0.3) ** 2 + C1)).mean()
    assert float(ssim(x, x + 0.3)) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_a_single_pixel_is_its_luminance_term() -> None:
    x, y = torch.tensor([[[[0.2]]]]).double(), torch.tensor([[[[0.6]]]]).double()
    assert float(ssim(x, y)) == pytest.approx((2 * 0.12 + C1) / (0.04 + 0.36 + C1))


def test_ssim_does_not_depend_on_how_the_batch_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pair(7, 3, 16, 16)
    whole = ssim(x, y)
    monkeypatch.setattr(perceptual, "CHUNK", 2 * 3 * 16 * 16)
    assert torch.allclose(ssim(x, y), whole, atol=1e-14)
    monkeypatch.setattr(perceptual, "CHUNK", 1)
    assert torch.allclose(ssim(x, y), whole, atol=1e-14)


@pytest.mark.parametrize("shift", [1 / 255, 0.1, 0.5, 1.0])
def test_psnr_of_a_constant_shift(shift: float) -> None:
    x = torch.zeros(2, 3, 5, 4)
    assert psnr(x, x + shift).tolist() == pytest.approx([-20 * math.log10(shift)] * 2, abs=1e-5)


def test_psnr_counts_every_component() -> None:
    x = torch.zeros(1, 2, 5, 5)
    y = x.clone()
    y[0, 1, 2, 3] = 1
    assert float(psnr(x, y)) == pytest.approx(10 * math.log10(50))
    assert psnr(x, x).tolist() == [math.inf]
    assert torch.equal(psnr(x, y), psnr(y, x))


@pytest.mark.parametrize("metric", [ssim, psnr])
def test_shapes_that_are_not_a_pair_of_images(metric: Metric) -> None:
    with pytest.raises(ContractError, match=r"got shape \(2, 5\)"):
        metric(torch.zeros(2, 5), torch.zeros(2, 5))
    with pytest.raises(ContractError, match="same shape"):
        metric(torch.zeros(2, 1, 5, 5), torch.zeros(2, 1, 5, 6))
