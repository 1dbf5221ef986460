"""The parts of MAD against NumPy, SciPy and values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from vauban.metrics.mad_appearance import WAVELENGTHS, WEIGHTS, appearance, log_gabor, scales, subbands
from vauban.metrics.mad_blocks import FLAT, merged, moments
from vauban.metrics.mad_detection import detection, lightness, perceived, sensitivity


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def image(*shape: int, seed: int = 0) -> Tensor:
    return 255 * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blocks(x: Tensor, size: int = 16) -> list[np.ndarray]:
    """The blocks of one image, four pixels apart, row by row."""
    a = x.numpy()
    rows, columns = (range(0, side - size + 1, 4) for side in a.shape)
    return [a[i : i + size, j : j + size] for i in rows for j in columns]


def test_moments_of_blocks_are_scipys() -> None:
    x = image(24, 20) * 1e-3 + 200  # a mean far above the deviation
    found = merged(moments(x[None]), 4)
    a = np.stack([b.ravel() for b in blocks(x)])
    v = a.var(1)
    np.testing.assert_allclose(found.mean.flatten(), a.mean(1), rtol=1e-14)
    np.testing.assert_allclose(found.deviation.flatten(), a.std(1), rtol=1e-9)
    np.testing.assert_allclose(found.skewness.flatten(), stats.skew(a, axis=1) * (v / (v + FLAT)) ** 1.5, atol=1e-9)
    kurtosis = stats.kurtosis(a, axis=1, fisher=False) * (v / (v + FLAT)) ** 2
    np.testing.assert_allclose(found.kurtosis.flatten(), kurtosis, rtol=1e-9)


def test_a_flat_block_has_no_deviation_and_no_higher_moments() -> None:
    found = merged(moments(torch.full((1, 16, 16), 0.1, dtype=torch.float64)), 4)
    for value in (found.deviation, found.skewness, found.kurtosis):
        assert value.abs().max() < 1e-12


@pytest.mark.parametrize(
    ("frequency", "angle", "expected"),
    [
        (0.0, 0.0, 0.981),
        (7.0, 0.0, 0.981),
        (10.0, 0.0, 2.6 * (0.0192 + 1.14) * math.exp(-(1.14**1.1))),
        (10.0, math.pi / 2, 2.6 * (0.0192 + 1.14) * math.exp(-(1.14**1.1))),
        (7.0, math.pi / 4, 2.6 * (0.0192 + 1.14) * math.exp(-(1.14**1.1))),  # 7 / 0.7 = 10: worse at oblique angles
        (20.0, math.pi / 8, 2.6 * (0.0192 + 2.28 / 0.85) * math.exp(-((2.28 / 0.85) ** 1.1))),
        (30.0, -3 * math.pi / 4, 2.6 * (0.0192 + 3.42 / 0.7) * math.exp(-((3.42 / 0.7) ** 1.1))),
    ],
)
def test_contrast_sensitivity_by_hand(frequency: float, angle: float, expected: float) -> None:
    assert float(sensitivity(tensor(frequency), tensor(angle))) == pytest.approx(expected, rel=1e-12)


def test_contrast_sensitivity_peaks_where_it_is_cut() -> None:
    frequency = torch.linspace(0, 60, 6001, dtype=torch.float64)
    curve = sensitivity(frequency, torch.zeros_like(frequency))
    assert (curve.diff() <= 1e-12).all()
    assert curve.diff().abs().max() < 1e-3, "no step at the peak"


@pytest.mark.parametrize(("cycles", "down", "right"), [(4, 0, 1), (12, 0, 1), (12, 1, 0), (10, 1, 1), (10, 1, -1)])
def test_a_grating_is_dimmed_by_the_sensitivity_at_its_frequency(cycles: int, down: int, right: int) -> None:
    """cycles over 32 pixels, 64 pixels per degree: 2 cycles per degree each."""
    i = torch.arange(32, dtype=torch.float64)
    grating = torch.cos(2 * math.pi * cycles / 32 * (down * i[:, None] + right * i))[None]
    f, angle = 2 * cycles * math.hypot(down, right), math.atan2(down, right)
    dimmed = float(sensitivity(tensor(f), tensor(angle))) * grating
    torch.testing.assert_close(perceived(grating, 64.0), dimmed, rtol=0, atol=1e-12)


def test_lightness_of_black_and_white() -> None:
    assert lightness(tensor(0, 255)).tolist() == pytest.approx([0, (0.02874 * 255) ** (2.2 / 3)])


@pytest.mark.parametrize("wavelength", WAVELENGTHS)
def test_log_gabor_by_hand(wavelength: float) -> None:
    def at(f: float, angle: float, orientation: int) -> float:
        return float(log_gabor(tensor(f), tensor(angle), wavelength, orientation))

    centre = 1 / wavelength
    assert at(centre, math.pi / 4, 1) == pytest.approx(1)
    assert at(0, 0, 0) == 0
    assert at(centre * 0.55, 0, 0) == pytest.approx(math.exp(-0.5))  # one deviation away, down and up
    assert at(centre / 0.55, math.pi / 2, 2) == pytest.approx(math.exp(-0.5))
    assert at(centre, math.pi / 6, 0) == pytest.approx(math.exp(-0.5))  # pi / 4 / 1.5 is pi / 6
    assert at(centre, -math.pi + math.pi / 12, 3) == pytest.approx(math.exp(-0.5 * 4))  # pi / 3, across the seam
    assert at(centre, math.pi, 0) < 1e-7, "one side of the plane"
    expected = math.exp(-((math.log(2) / math.log(0.55)) ** 2) / 2 - ((math.pi / 8) / (math.pi / 6)) ** 2 / 2)
    assert at(2 * centre, 3 * math.pi / 8, 2) == pytest.approx(expected)


def test_a_grating_has_flat_magnitudes_of_half_the_filter() -> None:
    i = torch.arange(36, dtype=torch.float64)
    grating = 10 + torch.cos(2 * math.pi * 4 / 36 * i).expand(1, 36, 36)  # wavelength 9, along the rows
    found = [m for _, m in subbands(grating)]
    assert len(found) == 12
    for index, magnitude in enumerate(found):
        wavelength, orientation = WAVELENGTHS[index // 4], index % 4
        sides = [float(log_gabor(tensor(4 / 36), tensor(a), wavelength, orientation)) for a in (0, math.pi)]
        assert float(magnitude.max()) == pytest.approx(sum(sides) / 2, abs=1e-9)
    assert float(found[4].min()) == pytest.approx(0.5, abs=1e-6)


def test_scales_that_an_image_holds() -> None:
    assert scales(512, 512) == scales(224, 224) == [(wl, w / 13.25) for wl, w in zip(WAVELENGTHS, WEIGHTS, strict=True)]
    assert scales(28, 28) == scales(32, 16) == [(3, 0.5 / 2.25), (9, 0.75 / 2.25), (27, 1 / 2.25)]
    assert [length for length, _ in scales(64, 64)] == [3, 9, 27, 81]


def by_hand_detection(x: Tensor, y: Tensor) -> float:
    """Block by block, with NumPy's Fourier transform."""
    height, width = x.shape
    down, right = np.meshgrid(np.fft.fftfreq(height) * 64, np.fft.fftfreq(width) * 64, indexing="ij")
    slanted = np.hypot(down, right) / (0.15 * np.cos(4 * np.arctan2(down, right)) + 0.85)
    curve = 2.6 * (0.0192 + 0.114 * slanted) * np.exp(-((0.114 * slanted) ** 1.1))
    curve[slanted < 7.8909] = 0.981
    light = [(0.02874 * a.numpy()) ** (2.2 / 3) for a in (x, y)]
    original, error = (np.fft.ifft2(np.fft.fft2(a) * curve).real for a in (light[0], light[1] - light[0]))
    parts = zip(*(blocks(a) for a in (torch.from_numpy(original), torch.from_numpy(error), y - x)), strict=True)
    total = []
    for o, e, d in parts:
        least = min(o[i : i + 8, j : j + 8].std() for i in (0, 8) for j in (0, 8))
        xi = 0.0
        if o.mean() > 0.5 and e.std() > 0:
            ours, theirs = math.log(e.std() / o.mean()), math.log(least / o.mean())
            xi = max(0.0, ours - max(theirs, -5))
        total.append((xi * (d**2).mean()) ** 2)
    assert 0 < sum(t > 0 for t in total) < len(total), "blocks seen and not seen"
    return math.sqrt(np.mean(total))


def test_detection_block_by_block() -> None:
    x = 60 + 0.5 * image(48, 40)
    x[:20], x[20:28] = 120, 0.1 * x[20:28]  # flat, so that the floor counts, and a texture
    x[30:] = 3 + 0.01 * x[30:]  # too dark to see
    y = (x + 0.05 * (image(48, 40, seed=1) - 127)).clamp(0, 255)
    assert float(detection(x[None], y[None], 64.0)) == pytest.approx(by_hand_detection(x, y), rel=1e-9)


def by_hand_appearance(x: Tensor, y: Tensor) -> float:
    """Block by block, with SciPy's moments."""
    total = 0.0
    for (weight, a), (_, b) in zip(subbands(x[None]), subbands(y[None]), strict=True):
        change = []
        for p, q in zip(blocks(a[0]), blocks(b[0]), strict=True):
            skew, kurtosis = (
                [f(v.ravel()) * (v.var() / (v.var() + FLAT)) ** power for v in (p, q)]
                for f, power in ((stats.skew, 1.5), (lambda v: stats.kurtosis(v, fisher=False), 2))
            )
            change.append(abs(p.std() - q.std()) + 2 * abs(skew[0] - skew[1]) + abs(kurtosis[0] - kurtosis[1]))
        total = total + weight * np.array(change)
    return math.sqrt(np.mean(np.square(total)))


def test_appearance_block_by_block() -> None:
    x = image(24, 32)
    y = 0.7 * x + 0.3 * image(24, 32, seed=1)
    assert float(appearance(x[None], y[None])) == pytest.approx(by_hand_appearance(x, y), rel=1e-9)
