"""MAD on ladders of distortions, and what must hold of any pair: no score for equal images, no effect of batch or dtype."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from vauban.core.errors import ContractError
from vauban.metrics import mad
from vauban.metrics.mad import BETA1, BETA2
from vauban.metrics.mad_appearance import appearance
from vauban.metrics.mad_detection import detection


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pictures(side: int = 96, channels: int = 3) -> Tensor:
    """Made-up scenes: a field with a falling spectrum as in nature, disks that hide each other, stripes that fade."""
    frequency = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.fftfreq(side)[None]).clamp_min(1 / side)
    field = torch.fft.ifft2(torch.fft.fft2(noise(0, channels, side, side)) / frequency**1.5).real
    field = 0.5 + 0.2 * field / field.std()
    line = torch.linspace(0, 1, side)
    disks, stripes = (
        torch.full_like(field, 0.6),
        0.5 + 0.3 * torch.sin(60 * line * line)[None, :, None] * line + 0 * field,
    )
    g = torch.Generator().manual_seed(1)
    for _ in range(60):
        row, column, radius = (float(v) for v in torch.rand(3, generator=g))
        inside = (line[:, None] - row) ** 2 + (line - column) ** 2 < (0.03 + 0.15 * radius) ** 2
        disks = torch.where(inside, torch.rand(channels, 1, 1, generator=g), disks)
    return torch.stack([field, disks, stripes]).clamp(0, 1)


def jpeg(x: Tensor, quality: int) -> Tensor:
    def coded(image: Tensor) -> Tensor:
        file = io.BytesIO()
        Image.fromarray((image.permute(1, 2, 0) * 255).round().byte().numpy()).save(file, "JPEG", quality=quality)
        return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255

    return torch.stack([coded(image) for image in x])


def noisy(x: Tensor, strength: float) -> Tensor:
    return (x + strength * noise(2, *x.shape)).clamp(0, 1)


def blurred(x: Tensor, sigma: float) -> Tensor:
    return gaussian_blur(x, 2 * int(3 * sigma) + 3, sigma)


LADDERS: dict[str, tuple[Callable[[Tensor, float], Tensor], tuple[float, ...]]] = {
    "noise": (noisy, (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)),
    "blur": (blurred, (0.3, 0.6, 0.9, 1.4, 2, 3, 4)),
    "jpeg": (lambda x, quality: jpeg(x, int(quality)), (95, 75, 50, 30, 15, 5)),
}
every_ladder = pytest.mark.parametrize("kind", LADDERS)


def climbs(x: Tensor, kind: str) -> None:
    distort, strengths = LADDERS[kind]
    scores = torch.stack([mad(x, distort(x, s)) for s in strengths])
    assert scores.dtype == torch.float64
    assert torch.isfinite(scores).all()
    assert (scores.diff(dim=0) >= 0).all(), scores
    assert (scores[-3:].diff(dim=0) > 0).all(), scores


@pytest.mark.slow
@every_ladder
def test_more_distortion_is_more_apparent(kind: str) -> None:
    climbs(pictures(), kind)


@pytest.mark.slow
@every_ladder
def test_more_distortion_is_more_apparent_on_photographs(kind: str, shared_data: Path) -> None:
    files = sorted((shared_data / "imagenet" / "val1000").glob("*.jpg"))[:1000:250]
    if not files:
        pytest.skip(f"no photographs in {shared_data / 'imagenet' / 'val1000'}")
    images = [np.array(Image.open(file).convert("RGB").resize((144, 144), Image.Resampling.BICUBIC)) for file in files]
    climbs(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255, kind)


@given(seed=st.integers(0, 1000), height=st.integers(1, 40), width=st.integers(1, 40), channels=st.sampled_from([1, 3]))
def test_any_size_scores_zero_for_equal_images_and_is_finite(seed: int, height: int, width: int, channels: int) -> None:
    x = torch.rand((2, channels, height, width), generator=torch.Generator().manual_seed(seed))
    assert mad(x, x).tolist() == [0, 0]
    score = mad(x, 1 - x)
    assert torch.isfinite(score).all()
    assert (score >= 0).all()


def test_an_image_is_scored_alike_alone_and_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    x = pictures(40)
    y = noisy(x, 0.1)
    alone = torch.cat([mad(x[i : i + 1], y[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(mad(x, y), alone, rtol=1e-9, atol=0)
    monkeypatch.setattr(sys.modules["vauban.metrics.mad"], "CHUNK", 1)
    torch.testing.assert_close(mad(x, y), alone, rtol=1e-9, atol=0)


@every_ladder
def test_single_and_double_precision_agree(kind: str) -> None:
    distort, strengths = LADDERS[kind]
    x = pictures(48).double()
    y = distort(x, strengths[3])
    torch.testing.assert_close(mad(x.float(), y.float()), mad(x, y), rtol=1e-3, atol=1e-6)


def test_turning_both_images_changes_nothing_where_blocks_fall_alike() -> None:
    """Mirrors and quarter turns permute blocks, cells and the even filters of the CSF; the log-Gabor filters see one side
    of the plane only, whose magnitudes a mirror image of a real image has at the mirrored orientation."""
    x = pictures(64)[:, :, :64, :64]
    y = noisy(x, 0.15)
    grey = [255 * image.double().mean(1) for image in (x, y)]
    plain = detection(*grey, 64.0)
    for turn in (lambda a: a.flip(1), lambda a: a.flip(2), lambda a: a.transpose(1, 2), lambda a: a.rot90(1, (1, 2))):
        torch.testing.assert_close(detection(*map(turn, grey), 64.0), plain, rtol=1e-9, atol=0)
    torch.testing.assert_close(appearance(*(a.rot90(2, (1, 2)) for a in grey)), appearance(*grey), rtol=1e-9, atol=0)


def test_appearance_is_symmetric_and_detection_is_masked_by_the_first_image() -> None:
    x = 255 * pictures(48).double().mean(1)
    y = 255 * noisy(x.float() / 255, 0.1).double()
    torch.testing.assert_close(appearance(x, y), appearance(y, x), rtol=1e-12, atol=0)
    assert (detection(x, y, 64.0) > detection(y, x, 64.0)).all()


def test_the_blend_of_both_strategies() -> None:
    x = pictures(48, 1).double()
    y = noisy(x.float(), 0.2).double()
    seen, changed = (
        f.tolist() for f in (detection(255 * x[:, 0], 255 * y[:, 0], 64.0), appearance(255 * x[:, 0], 255 * y[:, 0]))
    )
    alphas = [1 / (1 + BETA1 * d**BETA2) for d in seen]
    expected = [d**a * e ** (1 - a) for d, e, a in zip(seen, changed, alphas, strict=True)]
    assert mad(x, y).tolist() == pytest.approx(expected, rel=1e-12)
    assert min(expected) > 0


def test_grey_is_the_luma_of_colours_and_hue_alone_is_not_seen() -> None:
    x = pictures(48)
    grey = (x.double() * torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(3, 1, 1)).sum(1, keepdim=True)
    y = noisy(grey, 0.1)
    torch.testing.assert_close(
        mad(grey.expand(-1, 3, -1, -1), y.expand(-1, 3, -1, -1)), mad(grey, y), rtol=1e-9, atol=0
    )
    isoluminant = 0.2 * x.double().mean(1, keepdim=True) * torch.tensor([1 / 0.299, -1 / 0.587, 0]).view(3, 1, 1)
    assert mad(grey + isoluminant, grey.expand(-1, 3, -1, -1)).max() < 1e-6


def test_an_image_that_blocks_do_not_cover_is_extended_by_its_edge() -> None:
    x = pictures(40)[:, :, :30, :37]
    y = noisy(x, 0.15)
    extended = [torch.nn.functional.pad(a, (0, 3, 0, 2), mode="replicate") for a in (x, y)]
    torch.testing.assert_close(mad(x, y), mad(*extended), rtol=1e-12, atol=0)
    last = x.clone()
    last[..., -2:] = 1 - last[..., -2:]
    assert (mad(x, last) > 0).all(), "the last columns count"


def test_zero_is_not_identity() -> None:
    """A change of mean alone has no contrast; a tenth less contrast of noise hides behind the noise."""
    grey = torch.full((1, 1, 32, 32), 0.5)
    assert mad(grey, grey + 0.25).tolist() == [0]
    assert mad(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)).tolist() == [0]
    x = torch.rand((1, 1, 64, 64), generator=torch.Generator().manual_seed(0))
    assert mad(x, 0.9 * x).tolist() == [0]


def test_noise_shows_on_a_flat_image_more_than_on_a_texture() -> None:
    change = 0.03 * noise(3, 1, 1, 64, 64)
    flat, texture = torch.full((1, 1, 64, 64), 0.5), 0.5 + 0.15 * noise(4, 1, 1, 64, 64)
    assert float(mad(flat, flat + change)) > 3 * float(mad(texture, texture + change))


def test_seen_from_nearer_the_same_pixels_are_plainer() -> None:
    x = pictures(64)
    y = noisy(x, 0.1)
    assert (mad(x, y, pixels_per_degree=16) > mad(x, y, pixels_per_degree=64)).all()


def test_what_it_refuses() -> None:
    x = torch.zeros(1, 3, 16, 16)
    with pytest.raises(ContractError, match=r"1 or 3 channels, height, width\), got shape \(1, 2, 16, 16\)"):
        mad(x[:, :2], x[:, :2])
    with pytest.raises(ContractError, match="same shape"):
        mad(x, x[..., :8])
    with pytest.raises(ContractError, match="pixels_per_degree > 0 for mad, got 0"):
        mad(x, x, pixels_per_degree=0)
