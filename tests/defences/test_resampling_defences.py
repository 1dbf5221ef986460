"""Random resizing and crops: what is drawn, where it is put, and the mean over crops."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vauban.core.cards import carded
from vauban.core.errors import ContractError
from vauban.defences import CropEnsemble, RandomResize
from vauban.defences.inputs.resampling import drawn, resampled


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        yield


@pytest.mark.parametrize("size", [(5, 9), (13, 4), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_resampled_is_torchs_interpolation_of_the_part_in_the_frame(size: tuple[int, int], channels: int) -> None:
    x = torch.rand(2, channels, 11, 8, dtype=torch.float64)
    parts = [x[:1, :, 2:9, 1:6], x[1:, :, 0:7, 3:8]]
    expected = torch.cat([F.interpolate(part, size, mode="bilinear", align_corners=False) for part in parts])
    origin = torch.tensor([[2.0, 1.0], [0.0, 3.0]], dtype=torch.float64)
    scale = torch.tensor([[7 / size[0], 5 / size[1]]], dtype=torch.float64).expand(2, 2)
    torch.testing.assert_close(resampled(x, origin, scale, size), expected)


def test_drawn_numbers_are_whole_and_uniform() -> None:
    low = torch.full((3000,), 2.0)
    counts = torch.bincount(drawn(low, low + 3).long(), minlength=7)
    assert counts[:2].sum() == counts[6:].sum() == 0
    assert (counts[2:6] / 3000 - 0.25).abs().max() < 0.04


@pytest.mark.parametrize("frame", [0, 14])
def test_every_image_is_a_resized_one_at_a_place_where_it_fits(frame: int) -> None:
    x = torch.rand(40, 3, 10, 10, dtype=torch.float64) / 2 + 0.5
    out = RandomResize(least=0.7, frame=frame).apply(x)
    side = frame or 10
    assert out.shape == (40, 3, side, side)
    seen = set()
    for image, result in zip(x, out, strict=True):
        rows, columns = (result[0] > 0).any(1).nonzero().flatten(), (result[0] > 0).any(0).nonzero().flatten()
        size, top, left = len(rows), int(rows[0]), int(columns[0])
        assert len(columns) == size
        expected = F.interpolate(image[None], (size, size), mode="bilinear", align_corners=False)
        padded = F.pad(expected, (left, side - size - left, top, side - size - top))[0]
        torch.testing.assert_close(result, padded)
        seen.add(size)
    assert seen == set(range(round(0.7 * side), side + 1))


def test_a_frame_of_images_that_are_not_square_keeps_their_proportions() -> None:
    x = torch.ones(6, 1, 10, 20)
    out = RandomResize(least=1.0, frame=40).apply(x)
    assert out.shape == (6, 1, 40, 40)
    assert (out.flatten(1).sum(1) == 20 * 40).all()


def test_a_crop_is_a_part_of_the_image_at_its_size() -> None:
    x = torch.rand(12, 1, 8, 8, dtype=torch.float64)
    out = CropEnsemble(share=0.5).apply(x)
    for image, result in zip(x, out, strict=True):
        candidates = torch.stack([image[:, i : i + 4, j : j + 4] for i in range(5) for j in range(5)])
        enlarged = F.interpolate(candidates, (8, 8), mode="bilinear", align_corners=False)
        assert float((enlarged - result).abs().amax((1, 2, 3)).min()) < 1e-12


def test_the_ensemble_is_the_mean_of_probabilities_over_the_draws_of_its_crops() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4)).double()
    x = torch.rand(5, 1, 8, 8, dtype=torch.float64)
    defence = CropEnsemble(crops=6, share=0.5)
    torch.manual_seed(1)
    logits = defence.wrap(net)(x)
    torch.manual_seed(1)
    expected = sum(net(defence.apply(x)).softmax(1) for _ in range(6)) / 6
    torch.testing.assert_close(logits.exp(), expected)
    whole = CropEnsemble(crops=3, share=1.0).wrap(net)(x)
    torch.testing.assert_close(whole, net(x).log_softmax(1))


@pytest.mark.parametrize("defence", [CropEnsemble(), RandomResize()])
def test_cards_and_images_that_are_refused(defence: CropEnsemble | RandomResize) -> None:
    ((_, card),) = carded(defence.wrap(nn.Flatten()))
    assert card.random
    assert not card.not_differentiable
    with pytest.raises(ContractError, match="expected images \\(batch, channel, height, width\\)"):
        defence.apply(torch.rand(2, 8))
