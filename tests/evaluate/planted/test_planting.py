"""A planted image exists: adversarial on the final answer, inside the ball, on the grid, and the original stays right."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from vauban import defences
from vauban.core.contracts import Batch
from vauban.core.goals import ResolvedGoal
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.pixel_grid import on_grid
from vauban.core.rng import seeded
from vauban.defences.detectors.base import Calibration
from vauban.defences.detectors.feature_squeezing import FeatureSqueezing
from vauban.engine import BoundThreat
from vauban.evaluate.planted.overridden import Heads, Overridden
from vauban.evaluate.planted.planting import UNPLANTED, PlantedImage, Planter
from vauban.evaluate.planted.readout import NotApplicable, ReadOutPoint, read_out_points


def points_of(network: nn.Module, x: Tensor, classes: int = 10, named: str | None = None) -> list[ReadOutPoint]:
    return read_out_points(network, x[:2], classes, named, None, 0)


def planted(network: nn.Module, batch: Batch, ball: Ball, goal: ResolvedGoal | None = None) -> tuple[Overridden, list]:
    copy = Overridden(network, points_of(network, batch.x), None)
    planter, bound = Planter(copy, batch.levels, False, 0), ball.bind(batch.x)
    with torch.no_grad():
        logits = network(batch.x)
    goal = goal or ResolvedGoal(batch.y)
    rows = torch.arange(len(batch)).split(1)
    return copy, [planter.plant(batch.x[i], goal.rows(i), bound.rows(i), batch.ids[i], logits[i]) for i in rows]


def in_force(copy: Overridden, images: Sequence[PlantedImage]) -> None:
    copy.override([Heads.together(each) for each in zip(*(image.heads for image in images), strict=True)])


@pytest.mark.parametrize("ball", [Linf(0.1), L2(0.8), L1(5.0), Linf(1.5 / 255)], ids=str)
def test_planted_images_are_adversarial_and_the_originals_right(
    digits_cnn: nn.Module, right_batch: Batch, ball: Ball
) -> None:
    batch = right_batch.take(4)
    copy, images = planted(digits_cnn, batch, ball)
    assert all(isinstance(image, PlantedImage) for image in images)
    in_force(copy, images)
    there, rows = torch.cat([image.image for image in images]), torch.arange(len(batch))
    assert bool((copy.answers(there, rows, (1,)).argmax(1) != batch.y).all())
    assert torch.equal(copy.answers(batch.x, rows, (1,)).argmax(1), batch.y)
    assert bool(ball.bind(batch.x).contains(there, batch.x).all())
    assert on_grid(there, 256)
    assert sum(image.random for image in images) / len(images) <= 0.02


def test_columns_are_the_own_class_one_wrong_class_and_the_clean_minimum(
    digits_cnn: nn.Module, right_batch: Batch
) -> None:
    batch = right_batch.take(2)
    target = (batch.y + 3) % 10
    copy, images = planted(digits_cnn, batch, Linf(0.1), ResolvedGoal(batch.y, target))
    in_force(copy, images)
    with torch.no_grad():
        clean = digits_cnn(batch.x)
    for x in (batch.x, torch.cat([image.image for image in images])):
        logits = copy.answers(x, torch.arange(2), (1,))
        torch.testing.assert_close(logits.gather(1, batch.y[:, None]), clean.amax(1, keepdim=True))
        others = logits.scatter(1, torch.stack([batch.y, target], 1), torch.nan)
        torch.testing.assert_close(others.nanmean(1), clean.amin(1))
    assert torch.equal(logits.argmax(1), target)


def test_rows_of_a_call_belong_to_the_nearest_original(digits_cnn: nn.Module, right_batch: Batch) -> None:
    batch = right_batch.take(3)
    copy, images = planted(digits_cnn, batch, Linf(0.1))
    there = torch.cat([image.image for image in images])
    in_force(copy, images)
    known = copy.answers(there, torch.arange(3), (1,))
    bound = copy.bound(BoundThreat(digits_cnn))
    assert bound is not None
    assert bound.target is copy.network
    heads = [Heads.together(each) for each in zip(*(image.heads for image in images), strict=True)]
    copy.override(heads, batch.x, Linf)
    order = torch.tensor([2, 0, 1, 0])
    with torch.no_grad():
        torch.testing.assert_close(copy.network(there[order]), known[order])
    copy.override(None)
    with torch.no_grad():
        torch.testing.assert_close(copy.network(there), digits_cnn(there))


def test_detector_accepts_what_is_planted(digits_cnn: nn.Module, right_batch: Batch) -> None:
    detector = FeatureSqueezing(calibration=Calibration((1.6,), (0.3,))).wrap(digits_cnn)
    with torch.no_grad():
        accepted = (detector(right_batch.x).argmax(1) == right_batch.y).nonzero().squeeze(1)[:3]
    batch = Batch(right_batch.x[accepted], right_batch.y[accepted], right_batch.ids[accepted])
    copy, images = planted(detector, batch, Linf(0.1), ResolvedGoal(batch.y, rejects=True))
    in_force(copy, images)
    labels = copy.answers(torch.cat([image.image for image in images]), torch.arange(len(batch)), (1,)).argmax(1)
    assert bool(((labels != batch.y) & (labels != 10)).all())


def test_a_final_answer_that_never_changes_cannot_be_planted_in(digits_cnn: nn.Module, right_batch: Batch) -> None:
    class Stubborn(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) * 1e-9 + nn.functional.one_hot(right_batch.y[:1], 10).expand(len(x), 10)

    assert planted(Stubborn(digits_cnn), right_batch.take(1), Linf(0.1))[1] == [UNPLANTED]


class Crops(nn.Module):
    """Logits of an image and of its mirror image, averaged; together in one call, in one of two orders."""

    def __init__(self, inner: nn.Module, interleaved: bool) -> None:
        super().__init__()
        self.inner, self.interleaved = inner, interleaved

    def forward(self, x: Tensor) -> Tensor:
        if self.interleaved:
            return self.inner(torch.stack([x, x.flip(-1)], 1).flatten(0, 1)).view(len(x), 2, -1).mean(1)  # type: ignore[no-any-return]
        return self.inner(torch.cat([x, x.flip(-1)])).view(2, len(x), -1).mean(0)  # type: ignore[no-any-return]


def test_read_out_points(digits_cnn: nn.Module, digits_mlp: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    x = digits_test[0]
    assert [point.layer for point in points_of(digits_cnn, x)] == [digits_cnn[7]]
    vote = defences.vote([digits_cnn, digits_mlp])
    assert [point.layer for point in points_of(vote, x)] == [digits_cnn[7], digits_mlp[3]]
    with seeded("tests", "narrow"):
        narrow = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 10), nn.Tanh())
    assert [point.layer for point in points_of(narrow, x)] == [narrow[3]]
    with seeded("tests", "step"):
        hidden_step = nn.Sequential(narrow, defences.BitDepth(1).wrap(nn.Linear(10, 10)))  # no gradient between the two
    assert len(points_of(hidden_step, x)) == 1
    convolution = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert [point.layer for point in points_of(convolution, x)] == [convolution[1]]
    assert [point.layer for point in points_of(digits_mlp, x, named="3")] == [digits_mlp[3]]
    for interleaved in (False, True):
        (point,) = points_of(Crops(digits_cnn, interleaved), x)
        assert (point.rows, point.layout) == (2, "interleaved" if interleaved else "cat")
    with pytest.raises(NotApplicable, match="no linear layer with 10 outputs is called"):
        points_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), x)


@pytest.mark.parametrize("interleaved", [False, True])
def test_images_are_planted_behind_crops(digits_cnn: nn.Module, right_batch: Batch, interleaved: bool) -> None:
    network = Crops(digits_cnn, interleaved)
    with torch.no_grad():
        y = network(right_batch.x).argmax(1)
    batch = Batch(right_batch.x[:2], y[:2], right_batch.ids[:2])
    copy, images = planted(network, batch, Linf(0.1))
    in_force(copy, images)
    there = torch.cat([image.image for image in images])
    assert bool((copy.answers(there, torch.arange(2), (1,)).argmax(1) != batch.y).all())
