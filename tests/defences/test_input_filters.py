"""Deterministic input defences against independent implementations."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from torch import Tensor

from vauban.core.errors import ContractError, MissingExtra
from vauban.defences import JPEG, BitDepth, DiagonalFilter, DifferentiableJPEG, GaussianFilter, MeanFilter, MedianFilter
from vauban.defences.base import padded

SCIPY = {"reflect": "mirror", "edge": "nearest", "zero": "constant"}


def images(*shape: int, seed: int = 0) -> Tensor:
    """Smooth 8-bit images, so that JPEG has something to keep."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(*shape[:2], 4, 4, generator=g, dtype=torch.float64)
    fine = torch.nn.functional.interpolate(coarse, shape[2:], mode="bilinear")
    return (fine + 0.05 * torch.rand(*shape, generator=g, dtype=torch.float64)).clamp(0, 1).mul(255).round() / 255


@given(value=st.integers(0, 255), bits=st.integers(1, 8))
@settings(deadline=None)
def test_bit_depth_picks_the_nearest_level(value: int, bits: int) -> None:
    steps = 2**bits - 1
    levels = [k / steps for k in range(steps + 1)]
    nearest = min(levels, key=lambda level: abs(level - value / 255))
    assert float(BitDepth(bits).apply(torch.tensor([[value / 255]]))) == pytest.approx(nearest, abs=1e-7)


def test_bit_depth_is_idempotent_and_has_no_gradient() -> None:
    x = images(2, 3, 9, 7).requires_grad_()
    once = BitDepth(3).apply(x)
    assert torch.equal(BitDepth(3).apply(once), once)
    assert len(once.unique()) <= 8
    assert not torch.autograd.grad(once.sum(), x)[0].any()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("border", list(SCIPY))
def test_mean_filter_is_scipys(size: int, border: str) -> None:
    x = images(2, 3, 9, 7)
    expected = ndimage.uniform_filter(x.numpy(), size=(1, 1, size, size), mode=SCIPY[border])
    np.testing.assert_allclose(MeanFilter(size, border).apply(x).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("border", list(SCIPY))
def test_an_even_window_can_lean_to_the_bottom_right(border: str) -> None:
    x = images(1, 1, 9, 7)
    expected = ndimage.uniform_filter(x.numpy(), size=(1, 1, 6, 6), mode=SCIPY[border], origin=(0, 0, -1, -1))
    averaged = torch.nn.functional.avg_pool2d(padded(x, 6, border, before=2), 6, stride=1)
    np.testing.assert_allclose(averaged.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("border", list(SCIPY))
def test_diagonal_filter_is_scipys_correlation(size: int, border: str) -> None:
    x = images(2, 3, 9, 7)
    window = np.array([[i in (j, size - 1 - j) for j in range(size)] for i in range(size)], dtype=float)
    expected = ndimage.correlate(x.numpy(), (window / window.sum())[None, None], mode=SCIPY[border])
    np.testing.assert_allclose(DiagonalFilter(size, border).apply(x).numpy(), expected, atol=1e-12)


def test_an_edge_border_takes_images_smaller_than_the_window() -> None:
    x = images(1, 1, 4, 4)[..., :2, :2]
    expected = ndimage.uniform_filter(x.numpy(), size=(1, 1, 7, 7), mode="nearest")
    np.testing.assert_allclose(MeanFilter(7, "edge").apply(x).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_median_filter_is_scipys_rank_filter(size: int) -> None:
    x = images(2, 3, 9, 7)
    lower = (size * size - 1) // 2
    expected = ndimage.rank_filter(x.numpy(), lower, size=(1, 1, size, size), mode="mirror")
    np.testing.assert_array_equal(MedianFilter(size).apply(x).numpy(), expected)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_median_filter_selects_one_pixel_where_many_are_equal(size: int) -> None:
    x = images(2, 3, 9, 7).mul(3).round().div(3).requires_grad_()
    out = MedianFilter(size).apply(x)
    assert torch.equal(out, MedianFilter(size).apply(x.detach()))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(gradient, gradient.round())
    assert int(gradient.sum()) == out.numel()


def test_median_of_a_window_with_nan_is_nan() -> None:
    x = images(1, 1, 7, 7)
    x[0, 0, 3, 3] = torch.nan
    for image in (x, x.clone().requires_grad_()):
        assert int(MedianFilter(3).apply(image).isnan().sum()) == 9


def test_median_of_an_even_window_by_hand() -> None:
    x = torch.tensor([[[[0.1, 0.4], [0.2, 0.3]]]])
    out = MedianFilter(2).apply(x)
    assert float(out[0, 0, 1, 1]) == pytest.approx(0.2)
    assert float(out[0, 0, 0, 0]) == pytest.approx(0.2)  # the reflected border is [.3 .2 / .4 .1]


def test_median_gradient_goes_to_the_selected_pixel() -> None:
    x = images(1, 1, 6, 6).add(torch.linspace(0, 1e-3, 36, dtype=torch.float64).view(1, 1, 6, 6)).requires_grad_()
    assert torch.autograd.gradcheck(MedianFilter(3).apply, x, eps=1e-8)


@pytest.mark.parametrize(("sigma", "size"), [(1.0, 5), (0.5, 3), (3.0, 7)])
@pytest.mark.parametrize("border", list(SCIPY))
def test_gaussian_filter_is_scipys(sigma: float, size: int, border: str) -> None:
    x = images(2, 3, 9, 8)
    expected = ndimage.gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode=SCIPY[border], radius=size // 2)
    np.testing.assert_allclose(GaussianFilter(sigma, size, border).apply(x).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    "defence",
    [MeanFilter(3), MeanFilter(2, "edge"), GaussianFilter(), DiagonalFilter(), MedianFilter(2), MedianFilter(3)],
)
def test_smoothing_keeps_constants_dtype_and_range(
    defence: MeanFilter | GaussianFilter | DiagonalFilter | MedianFilter,
) -> None:
    constant = torch.full((1, 2, 8, 8), 0.25)
    assert torch.allclose(defence.apply(constant), constant)
    out = defence.apply(images(3, 1, 8, 8).float())
    assert out.dtype == torch.float32
    assert out.shape == (3, 1, 8, 8)
    assert out.min() >= 0
    assert out.max() <= 1 + 1e-6


def pillow(x: Tensor, quality: int) -> Tensor:
    """One image through a saved file."""
    pixels = x.mul(255).round().to(torch.uint8).permute(1, 2, 0).squeeze(2).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    decoded = torch.from_numpy(np.array(Image.open(file)))
    return (decoded if decoded.dim() == 3 else decoded[..., None]).permute(2, 0, 1)


@pytest.mark.parametrize("quality", [1, 20, 50, 75, 95, 100])
@pytest.mark.parametrize("shape", [(3, 3, 32, 32), (3, 1, 28, 28), (2, 3, 17, 23), (2, 1, 8, 8)])
def test_jpeg_is_pillows(quality: int, shape: tuple[int, ...]) -> None:
    x = images(*shape).float()
    out = JPEG(quality).apply(x)
    assert torch.equal(out.mul(255).round().to(torch.uint8), torch.stack([pillow(i, quality) for i in x]))
    assert torch.allclose(out * 255, (out * 255).round(), atol=1e-4)
    assert not torch.equal(out, x)


def test_jpeg_rounds_to_eight_bits_first_and_has_a_zero_gradient() -> None:
    x = images(2, 3, 16, 16).float()
    nudged = (x + 0.4 / 255).clamp(0, 1).requires_grad_()
    out = JPEG(60).apply(nudged)
    assert torch.equal(out, JPEG(60).apply(x))
    assert not torch.autograd.grad(out.sum(), nudged)[0].any()
    assert not x.requires_grad


@pytest.mark.parametrize("channels", [1, 3])
def test_differentiable_jpeg_stays_near_the_codec(channels: int) -> None:
    x = images(2, channels, 24, 19)
    real, smooth = JPEG(75).apply(x), DifferentiableJPEG(75)(x)
    assert smooth.shape == x.shape
    assert (smooth - real).abs().mean() < 0.02
    assert (smooth - real).abs().mean() < (DifferentiableJPEG(5)(x) - real).abs().mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_differentiable_jpeg_gradient_by_finite_differences(channels: int) -> None:
    smooth = DifferentiableJPEG(50)
    x = (0.25 + 0.5 * images(1, channels, 18, 20)).requires_grad_()
    g = torch.Generator().manual_seed(1)
    weight = torch.rand(x.shape, generator=g, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((smooth(x) * weight).sum(), x)
    for _ in range(5):
        step = 1e-7 * torch.randn(x.shape, generator=g, dtype=torch.float64)
        with torch.no_grad():
            difference = ((smooth(x + step) - smooth(x - step)) * weight).sum() / 2
        assert float((gradient * step).sum()) == pytest.approx(float(difference), rel=1e-3)
    assert gradient.abs().max() > 0.1


def test_differentiable_jpeg_without_kornia_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kornia", None)
    with pytest.raises(MissingExtra, match=r"pip install 'vauban\[kornia\]'"):
        DifferentiableJPEG(75)(images(1, 3, 16, 16))


@pytest.mark.parametrize(
    ("defence", "shape", "message"),
    [
        (JPEG(), (2, 2, 8, 8), "1 or 3 channels for JPEG, got 2"),
        (JPEG(), (2, 8), "shape \\(2, 8\\)"),
        (MeanFilter(3), (2, 8), "3x3 window, got shape \\(2, 8\\)"),
        (MedianFilter(5), (1, 1, 2, 8), "larger than 2 pixels"),
        (GaussianFilter(), (4, 3), "5x5 window"),
    ],
)
def test_images_that_a_defence_cannot_take(defence: JPEG, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ContractError, match=message) as caught:
        defence.apply(torch.zeros(shape))
    assert "\n" not in str(caught.value)
