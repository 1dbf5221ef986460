"""Noisy copies: how many, their statistics, when they are drawn, and that one sample's are the same in any batch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.vat import VAT
from vauban.attacks.minimal.jsma import JSMA
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.norms import L2
from vauban.core.rng import seeded
from vauban.engine.samples import Samples
from vauban.training.augmentation.epoch_adversarial import EpochAdversarial
from vauban.training.augmentation.noise import GaussianAugmentation
from vauban.training.augmentation.squeezing import Squeezing
from vauban.training.loop import optimise
from vauban.training.samples import training_samples

NONE = nn.Identity()


def grey(n: int = 40, level: float = 0.5) -> Batch:
    x = torch.full((n, 1, 9, 9), level, dtype=torch.float64)
    return Batch(x, torch.arange(n) % 3, torch.arange(n) * 7, 256)


def copies(part: GaussianAugmentation, data: Batch, number: int = 0, seed: int = 0) -> tuple[Samples, Batch]:
    samples = part.samples(training_samples(data), seed).epoch(NONE, number)
    return samples, samples.batch(torch.arange(len(samples)))


@pytest.mark.parametrize("originals", [True, False])
def test_n_copies_of_each_sample_and_the_originals_where_they_stay(originals: bool) -> None:
    data = grey()
    part = GaussianAugmentation(0.1, n=4, originals=originals)
    samples, whole = copies(part, data)
    assert len(samples) == len(part.samples(training_samples(data), 0)) == (4 + originals) * 40
    assert torch.equal(whole.y, data.y.repeat(4 + originals))
    same = (whole.x == data.x[0]).flatten(1).all(1)
    assert int(same.sum()) == 40 * originals
    assert len(set(whole.ids.tolist())) == len(samples)
    assert not originals or torch.equal(whole.ids[:40], data.ids)
    assert bool((whole.ids >= 0).all())


@pytest.mark.parametrize("noise", ["gaussian", "uniform"])
def test_the_statistics_of_the_copies(noise: str) -> None:
    sigma = 0.07
    _, whole = copies(GaussianAugmentation(sigma, n=20, noise=noise, originals=False), grey())
    z = ((whole.x - 0.5) / sigma).flatten()
    n = len(z)
    assert abs(float(z.mean())) < 5 / math.sqrt(n)
    fourth = 3.0 if noise == "gaussian" else 9 / 5
    assert abs(float(z.square().mean()) - 1) < 5 * math.sqrt((fourth - 1) / n)
    assert abs(float(z.pow(4).mean()) / fourth - 1) < 0.05
    if noise == "uniform":
        assert float(z.abs().max()) <= math.sqrt(3) + 1e-6
    else:
        quantiles = torch.quantile(z[:60000], torch.tensor([0.02275, 0.15866, 0.84134, 0.97725], dtype=torch.float64))
        torch.testing.assert_close(quantiles, torch.tensor([-2.0, -1, 1, 2], dtype=torch.float64), atol=0.04, rtol=0)
    rows = z.view(len(whole.x), -1)
    neighbours = (rows[:, :-1] * rows[:, 1:]).mean()
    pairs = (rows[:40] * rows[40:80]).mean()  # two copies of one sample
    halves = (rows[:, :40] * rows[:, 41:]).mean()  # two numbers of one pair
    assert max(abs(float(value)) for value in (neighbours, pairs, halves)) < 0.03


def test_noise_is_drawn_once_or_in_each_epoch_and_by_the_seed() -> None:
    once, fresh = GaussianAugmentation(0.1, n=2), GaussianAugmentation(0.1, n=2, fresh=True)
    assert torch.equal(copies(once, grey(), 0)[1].x, copies(once, grey(), 3)[1].x)
    drawn = [copies(fresh, grey(), number)[1].x for number in (0, 1, 1)]
    assert torch.equal(drawn[1], drawn[2])
    assert not torch.equal(drawn[0][40:], drawn[1][40:])
    assert torch.equal(drawn[0][:40], drawn[1][:40])
    assert not torch.equal(copies(once, grey(), seed=1)[1].x[40:], copies(once, grey())[1].x[40:])


def test_a_copy_is_the_same_in_any_batch() -> None:
    samples, whole = copies(GaussianAugmentation(0.1, n=3), grey())
    index = torch.tensor([159, 3, 80, 80, 41])
    part = samples.batch(index)
    assert torch.equal(part.x, whole.x[index])
    assert torch.equal(part.ids, whole.ids[index])
    assert part.levels is None


def test_copies_are_clipped_or_not() -> None:
    data = grey(level=0.95)
    clipped, free = (copies(GaussianAugmentation(0.3, n=2, clip=clip), data)[1].x for clip in (True, False))
    assert float(free.max()) > 1.2
    assert torch.equal(clipped, free.clamp(0, 1))
    net = nn.Sequential(nn.Flatten(), nn.Linear(81, 3)).double()
    unclipped = GaussianAugmentation(0.3, n=2, clip=False).samples(training_samples(data), 0)
    assert optimise(net, unclipped, epochs=1, batch=16).history[0].loss > 0


def test_no_noise_gives_copies_of_the_samples_and_less_is_refused() -> None:
    _, whole = copies(GaussianAugmentation(0, n=2), grey())
    assert torch.equal(whole.x, grey().x.repeat(3, 1, 1, 1))
    for sigma in (-0.1, float("nan"), float("inf"), "much"):
        with pytest.raises(ContractError, match="sigma of GaussianAugmentation"):
            GaussianAugmentation(sigma)
    with pytest.raises(ContractError, match="n of GaussianAugmentation"):
        GaussianAugmentation(n=0)


def test_a_batch_makes_no_more_than_its_own_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    data = grey()

    class Watched:
        def __len__(self) -> int:
            return 40

        def batch(self, index: torch.Tensor) -> Batch:
            asked.append(len(index))
            return Batch(data.x[index], data.y[index], data.ids[index], 256)

    net = nn.Sequential(nn.Flatten(), nn.Linear(81, 3)).double()
    optimise(net, GaussianAugmentation(n=5).samples(training_samples(Watched()), 0), epochs=1, batch=16)
    assert sum(asked) == 6 * 40
    assert max(asked) == 16


def test_squeezed_images_have_two_to_the_bits_levels() -> None:
    x = torch.linspace(0, 1, 162).view(2, 1, 9, 9)
    batch = Batch(x, torch.tensor([0, 1]), torch.arange(2), 256)
    for bits in (1, 3):
        made = Squeezing(bits).samples(training_samples(batch), 0).changed(batch, 0)
        assert len(made.x.unique()) == 2**bits
        assert float((made.x - x).abs().max()) <= 0.5 / (2**bits - 1) + 1e-6
    with pytest.raises(ContractError, match="bits of Squeezing"):
        Squeezing(0)


@pytest.mark.parametrize("attack", [FGSM(L2(0.3)), VAT(L2(0.3)), JSMA(theta=0.1, gamma=1)])
def test_points_of_the_toy_study_stand_beside_the_originals(attack: object) -> None:
    """One point per original, made by an attack on the network of the moment, inside the domain."""
    x = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))
    data = Batch(x, (x[:, 0] > x[:, 1]).long(), torch.arange(30), None)
    with seeded(0):
        net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    samples = EpochAdversarial(attack, first=True).samples(training_samples(data), 0).epoch(net, 0)
    made = samples.batch(torch.arange(len(samples)))
    assert len(made) == 60
    assert torch.equal(made.y, data.y.repeat(2))
    moved = made.x[30:] - x
    assert bool(moved.any())
    assert bool(((made.x >= 0) & (made.x <= 1)).all())
    if not isinstance(attack, JSMA):
        assert float(moved.norm(dim=1).max()) <= 0.3 + 1e-6
