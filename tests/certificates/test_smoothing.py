"""Randomised smoothing on a linear classifier, whose smoothed answer is known in closed form."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import vauban as vb
from vauban.certificates import RandomisedSmoothing
from vauban.certificates.base import WITHHELD
from vauban.certificates.votes import SoftSmoothed, votes
from vauban.core.errors import ContractError
from vauban.core.rng import Stream, seeded
from vauban.jobs.executors.pool import SHOWN
from vauban.jobs.recall import recalled
from vauban.words.recipe import recipe_of

SIGMA = 0.3


class Linear(nn.Module):
    """Class 1 where w x + b > 0; logits (0, w x + b)."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([3.0, -4.0]))
        self.seen: list[Tensor] = []

    def score(self, x: Tensor) -> Tensor:
        return x @ self.w + 0.4

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        z = self.score(x)
        return torch.stack([torch.zeros_like(z), z], 1)


def points(n: int = 24) -> Tensor:
    return torch.rand(n, 2, generator=torch.Generator().manual_seed(5))


def true_radius(x: Tensor) -> Tensor:
    return (Linear().score(x).abs() / 5).double().detach()


def bounded(n: int = 4000) -> tuple[Tensor, vb.certificates.Bound]:
    x = points()
    return x, RandomisedSmoothing(SIGMA, n=n).bound(Linear(), x, Stream(0, torch.arange(len(x))))


def test_the_radius_is_below_the_true_one_and_near_it() -> None:
    x, bound = bounded()
    assert bool((bound.radius <= true_radius(x) + 1e-9).all())
    inner = true_radius(x) < 2 * SIGMA
    assert float((true_radius(x) - bound.radius)[inner].max()) < 0.35 * SIGMA
    sure = bound.radius > 0
    assert torch.equal(bound.label[sure], (Linear().score(x) > 0).long()[sure])
    assert bool((bound.label[~sure] == WITHHELD).all())


def test_the_radius_is_cohens_of_the_votes() -> None:
    _, bound = bounded(500)
    assert bound.votes is not None
    assert bound.p_low is not None
    for votes_, p_low, radius in zip(bound.votes.tolist(), bound.p_low.tolist(), bound.radius.tolist(), strict=True):
        exact = stats.binomtest(votes_, 500, alternative="greater").proportion_ci(0.999, "exact").low
        assert p_low == pytest.approx(exact, rel=1e-9)
        assert radius == pytest.approx(max(0.0, SIGMA * stats.norm.ppf(exact)), rel=1e-9)


def test_the_draws_that_choose_are_not_those_that_bound() -> None:
    network, x = Linear(), points(2)
    RandomisedSmoothing(SIGMA, n0=5, n=7).bound(network, x, Stream(0, torch.arange(2)))
    choosing, bounding = network.seen
    assert len(choosing) == 10
    assert len(bounding) == 14
    assert not bool((choosing[:, None] == bounding[None]).all(2).any())


def test_noise_is_neither_clipped_nor_rounded_and_comes_before_the_normalisation() -> None:
    inner = Linear()
    votes(vb.models.wrap(inner, mean=0.5, std=0.25), torch.zeros(1, 2), Stream(1, torch.arange(1)), SIGMA, "t", 400)
    noise = torch.cat(inner.seen) * 0.25 + 0.5  # back before the normalisation
    assert float(noise.min()) < -SIGMA
    assert float(noise.std()) == pytest.approx(SIGMA, rel=0.1)
    assert len((noise * 255 % 1).unique()) > 100


def test_an_image_has_the_same_votes_in_any_batch() -> None:
    x, ids = points(10), torch.arange(10)
    whole = votes(Linear(), x, Stream(3, ids), SIGMA, "t", 37)
    parts = [votes(Linear(), x[i : i + 3], Stream(3, ids[i : i + 3]), SIGMA, "t", 37) for i in range(0, 10, 3)]
    assert torch.equal(whole, torch.cat(parts))
    assert bool((whole.sum(1) == 37).all())


def test_answers_are_withheld_at_the_boundary_alone() -> None:
    x = torch.tensor([[0.4, 0.4], [1.0, 0.0], [0.0, 1.0]])  # on the boundary, on either side
    answer = RandomisedSmoothing(SIGMA, predictions=200).answer(Linear(), x, Stream(0, torch.arange(3)), "answer")
    assert answer.tolist() == [WITHHELD, 1, 0]


def test_a_draw_that_is_not_finite_counts_against_the_class() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.zeros(len(x)), torch.full((len(x),), torch.nan)], 1)

    bound = RandomisedSmoothing(SIGMA, n0=5, n=20).bound(Broken(), points(3), Stream(0, torch.arange(3)))
    assert bound.votes is not None
    assert bound.votes.tolist() == [0, 0, 0]
    assert bound.radius.tolist() == [0, 0, 0]


def test_the_soft_classifier_is_the_log_of_the_mean_probability() -> None:
    network, x = Linear(), points(4)
    soft = SoftSmoothed(network, SIGMA, 8, x[:1], 0)
    by_hand = torch.stack([network(x + SIGMA * e).softmax(1) for e in soft.noise]).mean(0)
    assert torch.allclose(soft(x).exp(), by_hand, atol=1e-6)


def test_the_soft_classifier_of_a_network_in_half_precision_is_nearly_that_of_the_same_in_float32() -> None:
    x = points(4)
    with seeded(0):
        network = nn.Linear(2, 3)
    whole = SoftSmoothed(network, SIGMA, 8, x[:1], 0)(x)
    half = SoftSmoothed(copy.deepcopy(network).bfloat16(), SIGMA, 8, x[:1], 0)(x.bfloat16())
    assert half.dtype == torch.float32
    assert torch.allclose(half, whole, atol=0.05)


def rows(**given: object) -> vb.certificates.certify.CertificateResults:  # type: ignore[name-defined]
    x = points()
    y = (Linear().score(x) > 0).long()
    words = {"attacks": [vb.attacks.PGD(vb.L2(0.15), steps=5), vb.attacks.PGD(vb.L2(0.45), steps=10)], **given}
    return vb.certify(
        RandomisedSmoothing(SIGMA, n=800, predictions=200), Linear(), vb.data.from_torch((x, y), levels=None), **words
    )


def test_attacks_reach_what_is_not_certified_and_contradict_nothing() -> None:
    (read,) = rows().certificates
    columns, radius = read.columns, true_radius(points()).numpy()
    sure = columns["certified"] >= 0
    assert np.array_equal(columns["y"][sure], columns["certified"][sure])
    assert not bool((columns["other_at"] < columns["radius"]).any())
    weak = (radius < 0.3) & (columns["label"] == columns["y"])
    assert weak.any()
    assert bool((columns["wrong_at"][weak] <= 0.45 + 1e-6).all())
    strong = radius > 0.601
    assert strong.any()
    assert bool(np.isinf(columns["wrong_at"][strong]).all())


def test_a_run_is_resumed_and_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    first = rows(out=tmp_path, batch_size=7).certificates[0]
    again = rows(out=tmp_path, batch_size=7).certificates[0]
    other = rows(batch_size=24).certificates[0]
    assert len(list(tmp_path.glob("certificates/*/*.parquet"))) == 4
    for name, values in first.columns.items():
        assert np.array_equal(values, again.columns[name], equal_nan=True)
        assert np.allclose(values, other.columns[name], atol=1e-5, equal_nan=True), name


@pytest.mark.parametrize(
    "word",
    [
        "smoothing:sigma=0",
        "smoothing:sigma=-1",
        "smoothing:sigma=0.1,n=0",
        "smoothing:sigma=0.1,alpha=1",
        "smoothing:sigma=0.1,alpha=0",
    ],
)
def test_values_out_of_range_are_refused(word: str) -> None:
    with pytest.raises(ContractError, match="expected"):
        vb.certificates.load(word)


def test_attacks_in_another_norm_are_refused() -> None:
    with pytest.raises(ContractError, match="expected attacks in l2"):
        rows(attacks=[vb.attacks.PGD(vb.Linf(0.1))])


def test_a_job_of_words_is_made_again_from_them(tmp_path: Path) -> None:
    words = "smoothing:sigma=0.1,n=5,n0=2,predictions=5", "digits-cnn", "digits/test[:4]", tmp_path
    (outcome,) = vb.certify(*words, attacks=[], seed=1, batch_size=2).outcomes
    told = outcome.job.words()
    assert told is not None
    assert recalled(told.call, told.arguments).key == outcome.job.key
    assert "radius" in SHOWN  # what a worker process tells of its progress


@pytest.mark.parametrize(
    ("recipe", "doubt"),
    [
        ("gda:sigma=0.3,n=2", ""),
        ("gda:sigma=0.1,n=2", "trained with noise of sigma 0.1 and smoothed with sigma 0.3"),
        ("standard", "trained without noise"),
    ],
)
def test_another_noise_than_that_of_the_training_is_said(recipe: str, doubt: str) -> None:
    said = RandomisedSmoothing(SIGMA).doubts(recipe_of(recipe))
    assert said.startswith(doubt)
    assert bool(said) == bool(doubt)


def test_the_recipe_of_a_weights_file_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = tmp_path / "w.safetensors"
    run = {"epochs": 1, "batch": 32, "recipe": "gda:sigma=0.1,n=1+at:attack=[fgsm]"}  # eps is that of the training data
    vb.train("digits-cnn", "digits/train[:64]", weights, **run)
    with caplog.at_level("WARNING", "vauban"):
        vb.certify("smoothing:sigma=0.3,n=5,n0=2,predictions=5", weights, "digits/test[:2]", attacks=[])
    assert "trained with noise of sigma 0.1" in caplog.text
