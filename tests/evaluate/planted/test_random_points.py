"""Random points: inside the ball, in [0,1], on the pixel grid, and the same for a sample whatever its batch."""

from __future__ import annotations

import pytest
import torch

from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.pixel_grid import on_grid
from vauban.core.rng import Stream
from vauban.evaluate.planted.points import RandomPoints

BALLS = [Linf(0.1), Linf(0.3), Linf(1 / 255), L2(0.5), L1(4.0)]


def points(ball: Ball, shape: tuple[int, ...] = (3, 6, 5), levels: int | None = 256) -> RandomPoints:
    x = (torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    return RandomPoints(x, ball.bind(x), levels, Stream(0, torch.tensor([7])))


@pytest.mark.parametrize("ball", BALLS, ids=str)
@pytest.mark.parametrize("levels", [256, None])
@pytest.mark.parametrize("shape", [(3, 6, 5), (1, 28, 28), (9,)], ids=str)
def test_points_lie_in_the_ball_and_on_the_grid(ball: Ball, levels: int | None, shape: tuple[int, ...]) -> None:
    made = points(ball, shape, levels)
    for images in (made.cloud(60), made.trials(60, "trials")):
        wide = made.x.expand_as(images)
        assert images.shape == (60, *shape)
        assert bool(ball.bind(wide).contains(images, wide).all())
        assert bool(((images >= 0) & (images <= 1)).all())
        assert levels is None or on_grid(images, levels)


@pytest.mark.parametrize("ball", BALLS, ids=str)
def test_points_differ_from_the_image_and_from_each_other(ball: Ball) -> None:
    made = points(ball)
    for images in (made.cloud(30), made.trials(30, "trials")):
        assert len(images.flatten(1).unique(dim=0)) > 15
        assert bool((images != made.x).flatten(1).any(1).all())


def test_trials_use_the_whole_ball_and_the_cloud_does_not() -> None:
    x = torch.full((1, 1, 8, 8), 0.5)
    made = RandomPoints(x, Linf(0.2).bind(x), None, Stream(0, torch.tensor([1])))
    assert float((made.trials(30, "t") - x).abs().max()) == pytest.approx(0.2)
    assert 0.18 < float((made.cloud(30) - x).abs().max()) <= 0.19 + 1e-6


def test_tiles_have_one_sign_in_each_channel() -> None:
    x = torch.full((1, 2, 8, 8), 0.5)
    change = RandomPoints(x, Linf(0.1).bind(x), None, Stream(0, torch.tensor([1])))._tiles("t", 8)
    halves = change[:4].unflatten(2, (4, 2)).unflatten(4, (4, 2))  # side 2 comes first
    assert bool((halves == halves[:, :, :, :1, :, :1]).all())
    assert not bool((change[:, 0] == change[:, 1]).all())


def test_a_sample_has_its_own_numbers() -> None:
    x = torch.full((1, 1, 4, 4), 0.5)
    one, other = (RandomPoints(x, L2(0.5).bind(x), 256, Stream(0, torch.tensor([i]))) for i in (1, 2))
    assert torch.equal(one.cloud(5), one.cloud(5))
    assert not torch.equal(one.cloud(5), other.cloud(5))
    assert not torch.equal(one.trials(5, "trials"), one.trials(5, "fresh"))
