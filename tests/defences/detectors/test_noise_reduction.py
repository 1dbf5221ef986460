"""Adaptive noise reduction: the filter by hand on images of known entropy, and the margin behind it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import defences
from vauban.core.errors import ContractError
from vauban.defences.detectors.base import Calibration
from vauban.defences.detectors.noise_reduction import AdaptiveNoiseReduction, NoiseReduction, cross_mean, entropy
from vauban.evaluate.fit import fit


def levels_of(count: int, side: int = 16) -> Tensor:
    """An image `(1, 1, side, side)` of some levels spread over 0 to 255, each as often: log2(count) bits."""
    values = torch.linspace(0, 255, count).round().repeat_interleave(side * side // count)
    order = torch.randperm(side * side, generator=torch.Generator().manual_seed(count))
    return values[order].view(1, 1, side, side)


@pytest.mark.parametrize("count", [1, 2, 8, 64, 256])
def test_the_entropy_of_known_images(count: int) -> None:
    v = levels_of(count).long()
    assert float(entropy(v)) == pytest.approx(math.log2(count))
    two = torch.cat([v, torch.zeros_like(v)], 1)
    assert float(entropy(two)) == pytest.approx(math.log2(count) / 2)  # the mean over channels


def filtered(v: np.ndarray) -> np.ndarray:
    """The filter on one channel of levels, pixel by pixel."""
    counts = np.bincount(v.astype(int).ravel(), minlength=256) / v.size
    bits = -sum(p * math.log2(p) for p in counts if p > 0)
    interval = 128 if bits < 4 else 64 if bits < 5 else 43
    quantised = v // interval * interval
    if bits < 5:
        return quantised
    out, (height, width) = quantised.copy(), v.shape
    for i in range(height):
        for j in range(width):
            smooth = quantised[i, j]
            if 3 <= i < height - 3 and 3 <= j < width - 3:
                row, column = quantised[i, j - 3 : j + 4].sum(), quantised[i - 3 : i + 4, j].sum()
                smooth = (row + column - quantised[i, j]) / 13
            out[i, j] = quantised[i, j] if abs(quantised[i, j] - v[i, j]) < abs(smooth - v[i, j]) else smooth
    return out


@pytest.mark.parametrize("count", [2, 8, 16, 32, 64, 256])
def test_the_filter_is_the_one_pixel_by_pixel(count: int) -> None:
    v = levels_of(count)
    expected = filtered(v[0, 0].double().numpy())
    np.testing.assert_allclose(NoiseReduction()(v.double() / 255)[0, 0].numpy() * 255, expected, atol=1e-9)
    both = torch.cat([v, levels_of(2)]).double() / 255  # each image by its own entropy
    np.testing.assert_allclose(NoiseReduction()(both)[0, 0].numpy() * 255, expected, atol=1e-9)


def test_a_small_map_is_not_smoothed() -> None:
    v = torch.rand(2, 3, 6, 9)
    assert torch.equal(cross_mean(v), v)


def test_the_margin_behind_the_filter(digits_cnn: nn.Module) -> None:
    x = vb.data.load("digits/test[:60]").all().x
    network = AdaptiveNoiseReduction(calibration=Calibration((0.0,), (2.0,))).wrap(digits_cnn)
    before, after = digits_cnn(x), digits_cnn(NoiseReduction()(x))
    assert torch.equal(network(x).argmax(1) == 10, after.argmax(1) != before.argmax(1))
    other = torch.stack(
        [z.index_fill(0, c, -torch.inf).max() - z[c] for z, c in zip(after, before.argmax(1), strict=True)]
    )
    torch.testing.assert_close(network(x)[:, 10], before.amax(1) + other / 2)
    assert network.card.backward == {"scorer.reduce": None}


def test_a_file_and_what_is_no_image(digits_cnn: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "noise.safetensors"
    fitted = fit("noise-reduction:fpr=0.1", digits_cnn, vb.data.load("digits/train[:200]"), path)
    network = defences.load(f"noise-reduction:file={path}").wrap(digits_cnn)
    x = vb.data.load("digits/test[:20]").all().x
    assert torch.equal(network(x), fitted.defence.wrap(digits_cnn)(x))
    assert fitted.reached["rejected of the other half"] < 0.3
    flat = AdaptiveNoiseReduction(calibration=Calibration((0.0,), (1.0,))).wrap(nn.Linear(5, 3))
    with pytest.raises(ContractError, match=r"expected images \(batch, channel, height, width\) for noise-reduction"):
        flat(torch.rand(2, 5))


def test_a_pixel_that_is_no_number_stays_visible(digits_cnn: nn.Module) -> None:
    x = torch.rand(2, 1, 8, 8)
    x[0, 0, 3, 3] = torch.nan
    reduced = NoiseReduction()(x)
    assert bool(reduced[0].isnan().any())
    assert bool(reduced[1].isfinite().all())
