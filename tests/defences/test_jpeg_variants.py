"""The rough JPEG against loops over pixels, the codec's three backward rules, and the codec at a random quality."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vauban import threats
from vauban.core.cards import carded
from vauban.core.errors import ContractError
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import cross_entropy
from vauban.core.rng import seeded
from vauban.defences import JPEG, DifferentiableJPEG, JPEGApproximation, RandomJPEG, chain, load
from vauban.engine import Oracle

TO_YCC = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]


def images(*shape: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=g, dtype=torch.float64) * 255).round() / 255


def by_loops(image: np.ndarray, border: str) -> np.ndarray:
    """(3, h, w) -> (3, h, w): every window summed pixel by pixel, with the offsets that the layer leaves out."""
    _, height, width = image.shape

    def pixel(plane: np.ndarray, i: int, j: int, beyond: float) -> float:
        if border == "zero" and not (0 <= i < height and 0 <= j < width):
            return beyond
        return float(plane[min(max(i, 0), height - 1), min(max(j, 0), width - 1)])

    ycc = np.einsum("ij,jhw->ihw", np.array(TO_YCC), image) + np.array([0, 0.5, 0.5])[:, None, None]
    out = np.zeros_like(ycc)
    for plane, (first, last) in enumerate([(-1, 1), (-2, 3), (-2, 3)]):
        for i in range(height):
            for j in range(width):
                window = [
                    pixel(ycc[plane], i + a, j + b, 0.5 if plane else 0.0)
                    for a in range(first, last + 1)
                    for b in range(first, last + 1)
                ]
                out[plane, i, j] = sum(window) / len(window)
    return np.einsum("ij,jhw->ihw", np.linalg.inv(np.array(TO_YCC)), out - np.array([0, 0.5, 0.5])[:, None, None])


@pytest.mark.parametrize("border", ["edge", "zero"])
def test_the_approximation_is_the_loops(border: str) -> None:
    x = images(2, 3, 8, 8)
    want = np.stack([by_loops(image.numpy(), border) for image in x])
    np.testing.assert_allclose(JPEGApproximation(border).apply(x).numpy(), want, atol=1e-12)  # type: ignore[arg-type]


def test_the_window_of_the_colours_reaches_two_pixels_up_and_three_down() -> None:
    x = torch.zeros(1, 3, 15, 15, dtype=torch.float64)
    x[0, 0, 7, 7], x[0, 1, 7, 7] = 0.587, -0.299  # no luma but chroma, up to the matrix
    changed = (JPEGApproximation().apply(x)[0].abs().amax(0) > 1e-4).nonzero()
    assert changed.amin(0).tolist() == [4, 4]
    assert changed.amax(0).tolist() == [9, 9]


def test_the_approximation_keeps_a_constant_and_takes_grey_images_of_any_size() -> None:
    colour = torch.tensor([0.9, 0.1, 0.4]).view(1, 3, 1, 1).expand(2, 3, 5, 4)
    torch.testing.assert_close(JPEGApproximation().apply(colour), colour)
    grey = images(1, 1, 2, 2)
    a, b, c, d = grey.flatten().tolist()
    want = [4 * a + 2 * b + 2 * c + d, 4 * b + 2 * a + 2 * d + c, 4 * c + 2 * a + 2 * d + b, 4 * d + 2 * b + 2 * c + a]
    torch.testing.assert_close(JPEGApproximation()(grey).flatten() * 9, torch.tensor(want, dtype=torch.float64))


def test_the_approximation_is_differentiated_as_it_is() -> None:
    x = images(1, 3, 7, 6).requires_grad_(True)
    assert torch.autograd.gradcheck(JPEGApproximation().apply, x)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    with seeded("tests", "jpeg"):
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 6), nn.Tanh(), nn.Linear(6, 3)).requires_grad_(False)


Y = torch.tensor([0, 2])


@pytest.mark.parametrize("backward", ["differentiable", "approximation", "identity"])
def test_bpda_has_the_value_of_the_codec_and_the_gradient_of_the_rule(backward: str, net: nn.Module) -> None:
    x = images(2, 3, 16, 16).float()
    rule = {"differentiable": DifferentiableJPEG(40), "approximation": JPEGApproximation(), "identity": lambda v: v}
    guarded = load(f"jpeg:quality=40,backward={backward}").wrap(net)
    logits, (g,) = Oracle.open(threats.adaptive().bind(guarded, levels=256), x, Y).gradient(x, cross_entropy)
    leaf = x.clone().requires_grad_(True)
    smooth = rule[backward](leaf)
    coded = smooth + (JPEG(40).apply(x) - smooth).detach()
    (want,) = torch.autograd.grad(cross_entropy(net(coded), ResolvedGoal(Y)).sum(), leaf)
    torch.testing.assert_close(logits, net(JPEG(40).apply(x)))
    torch.testing.assert_close(g, want, rtol=1e-4, atol=1e-6)


def test_a_rule_is_part_of_the_name_where_it_is_not_the_default() -> None:
    assert JPEG(75).name == "jpeg:quality=75"
    named = JPEG(50, backward="approximation")
    assert named.name == "jpeg:quality=50,backward=approximation"
    assert load(named.name) == named
    assert load("jpeg-approximation+jpeg:backward=identity") == chain(JPEGApproximation(), JPEG(backward="identity"))


def test_qualities_are_whole_and_uniform_from_low_to_high() -> None:
    defence = RandomJPEG(20, 24)
    with seeded("tests", "quality"):
        drawn = [defence.draw() for _ in range(500)]
    assert set(drawn) == {20, 21, 22, 23, 24}
    assert min(drawn.count(q) for q in range(20, 25)) > 60
    assert RandomJPEG(33, 33).draw() == 33


def test_random_jpeg_is_the_codec_at_some_quality_in_range(net: nn.Module) -> None:
    x = images(2, 3, 16, 16).float()
    coded = {q: JPEG(q).apply(x) for q in range(20, 31)}
    guarded = RandomJPEG(20, 30).wrap(net)
    seen = set()
    for k in range(40):
        with seeded("tests", k):
            out = RandomJPEG(20, 30).apply(x)
        (quality,) = [q for q, image in coded.items() if torch.equal(image, out)]
        with seeded("tests", k):
            torch.testing.assert_close(guarded(x), net(coded[quality]))
        seen.add(quality)
    assert len(seen) > 5


def test_the_gradient_of_random_jpeg_is_that_of_the_quality_just_drawn(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    draw = RandomJPEG.draw
    monkeypatch.setattr(RandomJPEG, "draw", lambda self: drawn.append(draw(self)) or drawn[-1])
    x = images(2, 3, 16, 16).float()
    guarded = RandomJPEG(5, 95).wrap(net)
    ((_, card),) = carded(guarded)
    assert (card.random, card.draws) == (True, 8)
    oracle = Oracle.open(threats.adaptive().bind(guarded, levels=256), x, Y)
    drawn.clear()
    _, (g,) = oracle.gradient(x, cross_entropy)
    assert len(drawn) == 8
    assert len(set(drawn)) > 1
    total = torch.zeros_like(x)
    for quality in drawn:
        leaf = x.clone().requires_grad_(True)
        smooth = DifferentiableJPEG(quality)(leaf)
        coded = smooth + (JPEG(quality).apply(x) - smooth).detach()
        total += torch.autograd.grad(cross_entropy(net(coded), ResolvedGoal(Y)).sum(), leaf)[0] / 8
    torch.testing.assert_close(g, total, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jpeg:backward=none", "got None"),
        ("jpeg:backward=smooth", "backward of JPEG as one of differentiable, approximation, identity, got 'smooth'"),
        ("random-jpeg:low=0", "low of RandomJPEG as a whole number of at least 1 and at most 100, got 0"),
        ("random-jpeg:low=90,high=20", "low <= high, got 90 and 20"),
        ("jpeg-approximation:border=round", "border of JPEGApproximation as one of reflect, edge, zero, got 'round'"),
    ],
)
def test_bad_parameters_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ContractError, match=message) as error:
        load(text)
    assert "\n" not in str(error.value)


def test_two_channels_are_refused() -> None:
    with pytest.raises(ContractError, match="1 or 3 channels"):
        JPEGApproximation().apply(torch.zeros(1, 2, 8, 8))
