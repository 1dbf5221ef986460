"""Adversarial versions of a whole training set: made once per sample on a network that stands still."""

import copy
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vauban.attacks.autoattack import AutoAttack
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.ddn import DDN
from vauban.core.contracts import Batch
from vauban.core.norms import L2, Linf
from vauban.core.pixel_grid import on_grid
from vauban.core.rng import fold, seeded
from vauban.engine import BoundThreat, Oracle, Point, Steps
from vauban.engine.samples import Concatenated, Subset, as_samples
from vauban.training.adversarial_set import AdversarialSet, adversarial_set, frozen
from vauban.training.augmentation.epoch_adversarial import EpochAdversarial
from vauban.training.augmentation.noise import GaussianAugmentation
from vauban.training.loop import optimise
from vauban.training.objectives.standard import CleanObjective
from vauban.training.samples import training_samples

ATTACKS = [FGSM(Linf(0.1)), PGD(Linf(0.1), steps=5), DDN(steps=10), BP(steps=10)]


def grey(n=40, levels=256, dtype=torch.float32):
    """Images of 4x4 pixels on the grid, labelled by which half is brighter; ids that are no positions."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(levels, (n, 1, 4, 4), generator=draw).to(dtype) / (levels - 1)
    return Batch(x, (x[..., :2].mean((1, 2, 3)) > x[..., 2:].mean((1, 2, 3))).long(), torch.arange(n) * 7 + 3, levels)


def linear(seed=0, dtype=torch.float32):
    with seeded(seed):
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).to(dtype)


def beside(attack, data, seed=0, first=False):
    """The samples of a training by epochs."""
    return EpochAdversarial(attack, first).samples(training_samples(data), seed)


def whole(samples):
    return samples.batch(torch.arange(len(samples)))


@dataclass(frozen=True)
class Watched(Steps[Point]):
    """Darkens the image by one level and notes what it was asked for."""

    seen: list
    steps: int = 1
    stop: ClassVar = "never"
    keep: ClassVar = "last"

    def start(self, oracle, **per_sample):
        return Point(oracle.domain.x0)

    def step(self, oracle, state, t):
        self.seen.append(
            (oracle.rng.ids.clone(), oracle.domain.x0.clone(), copy.deepcopy(oracle.threat.target.state_dict()))
        )
        assert not any(p.requires_grad for p in oracle.threat.target.parameters())
        assert not any(m.training for m in oracle.threat.target.modules())
        return Point((oracle.domain.x0 - 1 / 255).clamp_min(0))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)
def test_every_image_is_the_attacks_own_on_the_grid(attack):
    module, data = linear(), grey()
    made = adversarial_set(attack, module, data, seed=5, batch=len(data))
    oracle = Oracle.open(BoundThreat(module, levels=256), data.x, data.y, ids=data.ids, seed=5)
    found = attack.run(oracle)
    got = whole(made)
    assert torch.equal(got.x, found.crafted)
    assert torch.equal(got.y, data.y)
    assert torch.equal(got.ids, data.ids)
    assert got.levels == 256
    assert made.values.dtype == torch.uint8
    assert not torch.equal(got.x, data.x)


def test_a_nearest_attack_hands_over_its_nearest_success_and_its_last_iterate_elsewhere():
    module, data = linear(), grey()
    got, attack = whole(adversarial_set(DDN(steps=10, eps=0.05), module, data)), DDN(steps=10, eps=0.05)
    found = attack.run(Oracle.open(BoundThreat(module), data.x, data.y, ids=data.ids))
    turned = module(got.x).argmax(1) != data.y
    assert 0 < int(turned.sum()) < len(data)
    assert torch.equal(turned, found.success)
    assert torch.equal(L2.size(got.x - data.x)[turned], found.distance[turned])
    assert (L2.size(got.x - data.x)[~turned] > 0).all()  # an image that stood is not the original again


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)
def test_the_batch_size_changes_nothing_but_the_seed_does(attack):
    module, data = linear(dtype=torch.float64), grey(dtype=torch.float64)
    values = [
        adversarial_set(attack, module, data, seed=s, batch=b).values for s, b in ((1, 40), (1, 7), (1, 1), (2, 40))
    ]
    assert torch.equal(values[0], values[1])
    assert torch.equal(values[0], values[2])
    assert torch.equal(values[0], values[3]) == (not isinstance(attack, PGD))  # only PGD draws random numbers


def test_the_network_is_as_it_was_and_no_parameter_has_a_gradient():
    with seeded(0):
        module = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    module[2].eval()
    module[4].weight.requires_grad_(False)
    before = copy.deepcopy(module.state_dict())
    modes, flags = [m.training for m in module.modules()], [p.requires_grad for p in module.parameters()]
    adversarial_set(PGD(Linf(0.1), steps=3), module, grey())
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert [m.training for m in module.modules()] == modes
    assert [p.requires_grad for p in module.parameters()] == flags
    assert all(p.grad is None for p in module.parameters())
    with pytest.raises(KeyError), frozen(module):
        raise KeyError
    assert [p.requires_grad for p in module.parameters()] == flags


def test_rows_that_are_turned_cost_nothing_more():
    counted = []

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = linear()

        def forward(self, x):
            counted.append(len(x))
            return self.net(x)

    module, data = Counting(), grey()
    adversarial_set(PGD(Linf(0.2), steps=20), module, data, batch=40)
    assert sum(counted) < 40 * 20 / 2
    assert sorted(counted[1:-1], reverse=True) == counted[1:-1]  # after the probe, before the closing check
    assert counted[1] == 40


@pytest.mark.parametrize(("levels", "stored"), [(256, torch.uint8), (2, torch.uint8), (1024, torch.float32)])
def test_images_are_kept_to_the_last_bit(levels, stored):
    data = grey(levels=levels)
    made = adversarial_set(FGSM(Linf(0.6)), linear(), data)
    got = whole(made).x
    oracle = Oracle.open(BoundThreat(linear(), levels=levels), data.x, data.y, ids=data.ids)
    assert torch.equal(got, FGSM(Linf(0.6)).run(oracle).crafted)
    assert made.values.dtype == stored
    assert on_grid(got, levels)


def test_continuous_data_are_not_rounded():
    data = grey()
    data = Batch((data.x + 0.001).clamp(0, 1), data.y, data.ids, None)
    made = whole(adversarial_set(DDN(steps=5), linear(), data))
    assert made.levels is None
    assert not on_grid(made.x, 256)


def test_joined_samples_keep_the_order_that_was_asked_for():
    data = grey(6)
    later = AdversarialSet(
        torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 4, 4), data.y, data.ids, 256
    )
    both = Concatenated(as_samples(data), later)
    assert len(both) == 12
    got = both.batch(torch.tensor([8, 1, 0, 11, 5]))
    assert torch.equal(
        got.x,
        torch.stack([torch.full((1, 4, 4), 2 / 255), data.x[1], data.x[0], torch.full((1, 4, 4), 5 / 255), data.x[5]]),
    )
    assert got.ids.tolist() == data.ids[[2, 1, 0, 5, 5]].tolist()
    assert torch.equal(both.batch(torch.tensor([7])).x[0], torch.full((1, 4, 4), 1 / 255))


@pytest.mark.parametrize("first", [False, True])
def test_each_epoch_is_the_originals_and_what_the_network_before_it_turned_them_into(first):
    module, data, seen, trained = linear(), grey(30), [], []

    def note(module, batch, step):
        trained.append((batch.ids.tolist(), batch.x.clone()))
        return CleanObjective()(module, batch, step)

    after = []
    optimise(
        module,
        beside(Watched(seen), data, first=first),
        epochs=3,
        batch=16,
        lr=0.01,
        objective=note,
        callback=lambda e: after.append(copy.deepcopy(module.state_dict())),
    )
    calls = 3 if first else 2
    assert len(seen) == calls
    for epoch in range(calls):
        mine = seen[epoch : epoch + 1]
        assert torch.cat([ids for ids, _, _ in mine]).tolist() == data.ids.tolist()  # every sample exactly once
        assert torch.equal(torch.cat([x for _, x, _ in mine]), data.x)
        weights = [w for _, _, w in mine]
        assert all(torch.equal(w[k], weights[0][k]) for w in weights for k in w)
        if epoch or not first:
            end = after[epoch - 1 if first else epoch]  # the network as the epoch before left it
            assert all(torch.equal(weights[0][k], end[k]) for k in end)
    sizes = [60 if first else 30, 60, 60]
    flat = [(i, row) for ids, x in trained for i, row in zip(ids, x, strict=True)]
    assert len(flat) == sum(sizes)
    for epoch, size in enumerate(sizes):
        part, flat = flat[:size], flat[size:]
        for k, ident in enumerate(data.ids.tolist()):
            rows = [row for i, row in part if i == ident]
            wanted = [data.x[k], (data.x[k] - 1 / 255).clamp_min(0)][: size // 30]
            assert len(rows) == len(wanted), epoch
            for image in wanted:
                assert any(torch.allclose(row, image, atol=1e-6) for row in rows)


def test_the_steps_of_all_epochs_are_numbered_through():
    steps = []

    def note(module, batch, step):
        steps.append(step)
        return CleanObjective()(module, batch, step)

    optimise(linear(), beside(Watched([]), grey(30)), epochs=3, batch=16, objective=note)
    assert steps == list(range(2 + 4 + 4))


def test_it_equals_a_loop_by_hand():
    """FGSM on a linear softmax classifier, gradients in closed form, full batches of plain gradient descent."""
    data, module = grey(dtype=torch.float64), linear(dtype=torch.float64)
    x, y = data.x.flatten(1), F.one_hot(data.y, 2).double()
    w, b = (p.detach().clone() for p in module[1].parameters())
    more = None
    for epoch in range(4):
        if epoch:
            up = ((x @ w.T + b).softmax(1) - y) @ w  # of the cross-entropy, in x
            more = ((x + 0.1 * up.sign()) * 255).clamp((x - 0.1) * 255, (x + 0.1) * 255)
            low, high = ((x - 0.1) * 255 - 1e-5).ceil(), ((x + 0.1) * 255 + 1e-5).floor()
            more = torch.minimum(torch.maximum(more.round(), low), high).clamp(0, 255) / 255
        inputs, labels = (x, y) if more is None else (torch.cat([x, more]), torch.cat([y, y]))
        p = (inputs @ w.T + b).softmax(1) - labels
        w, b = w - 0.5 * p.T @ inputs / len(inputs), b - 0.5 * p.mean(0)
    samples = beside(FGSM(Linf(0.1)), data)
    optimise(module, samples, epochs=4, batch=80, optimiser=lambda p: torch.optim.SGD(p, lr=0.5))
    torch.testing.assert_close(module[1].weight.detach(), w)
    torch.testing.assert_close(module[1].bias.detach(), b)


def test_epochs_draw_their_own_numbers_and_parts_keep_their_ids():
    data, module, attack = grey(), linear(), PGD(Linf(0.1), steps=1)
    part = Subset(data, torch.arange(10, 20))
    samples = beside(attack, part, seed=4, first=True)
    made = [samples.epoch(module, number).second for number in (0, 1)]
    assert not torch.equal(made[0].values, made[1].values)
    assert torch.equal(made[1].values, adversarial_set(attack, module, part, seed=fold(4, "forge", 1)).values)
    assert torch.equal(made[1].ids, data.ids[10:20])


def test_the_adversarial_images_of_an_epoch_are_made_of_the_copies_of_that_epoch():
    copies = GaussianAugmentation(0.2, n=1, fresh=True).samples(training_samples(grey(8)), 0)
    samples = EpochAdversarial(PGD(Linf(0.01), steps=1)).samples(copies, 0)
    for number in (1, 2):
        both = whole(samples.epoch(linear(), number))
        assert float((both.x[16:] - both.x[:16]).abs().max()) <= 0.01 + 1e-6


def test_an_attack_that_does_not_round_keeps_what_it_made():
    data, module = grey(), linear()
    attack = AutoAttack(Linf(0.3 / 255), steps=2, n_target=1, queries=3)
    made = whole(adversarial_set(attack, module, data))
    assert made.levels is None
    moved = (made.x != data.x).flatten(1).any(1)
    assert moved.any()  # on the grid nothing could
    assert float((made.x - data.x).abs().max()) <= 0.3 / 255 + 1e-7
    assert whole(adversarial_set(replace(attack, rounded=True), module, data)).levels == 256
