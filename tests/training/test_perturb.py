"""What replaces the images of a training step."""

import torch
from torch import nn

from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.engine import Oracle, iterate
from vauban.engine.threat import BoundThreat
from vauban.training.loop import fit
from vauban.training.perturb import adversarial, both, shifted


def images(n=6):
    return torch.rand(n, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def ascent(steps=3):
    from vauban.attacks.fixed_budget.pgd import PGD

    return PGD(Linf(0.1), steps=steps)


def network():
    with seeded(0):
        return nn.Sequential(nn.Flatten(), nn.Linear(128, 3), nn.BatchNorm1d(3))


def test_every_image_is_the_attacks_last_iterate_on_the_network_in_evaluation_mode():
    module, x, y = network().train(), images(), torch.arange(6) % 3
    made = adversarial(ascent(), seed=5)(module, x, y, torch.arange(6), 2)
    oracle = Oracle.open(BoundThreat(module, levels=None), x, y, seed=7)
    assert torch.equal(made, iterate(ascent(), oracle, stop="never", keep="last").crafted)
    assert module.training
    assert not module[2].running_mean.any()  # the attack has not touched the statistics
    assert 0 < (made - x).abs().max() <= 0.1 + 1e-6


def test_each_step_draws_its_own_start():
    module, x, y, ids = network(), images(), torch.arange(6) % 3, torch.arange(6)
    perturb = adversarial(ascent(1))
    assert not torch.equal(perturb(module, x, y, ids, 0), perturb(module, x, y, ids, 1))
    assert torch.equal(perturb(module, x, y, ids, 1), perturb(module, x, y, ids, 1))


def test_a_shifted_image_is_one_of_the_mirrored_shifts():
    x, ids = images(), torch.arange(6)
    candidates = []
    padded = nn.functional.pad(torch.stack([x, x.flip(3)]), (2, 2, 2, 2))
    for down in range(5):
        for across in range(5):
            candidates += list(padded[:, :, :, down : down + 8, across : across + 8])
    possible = torch.stack(candidates, 1)
    seen = set()
    for step in range(40):
        made = shifted(seed=1, reach=2)(network(), x, x.new_zeros(6).long(), ids, step)
        same = (possible == made[:, None]).flatten(2).all(2)
        assert same.any(1).all()
        seen |= set(same.int().argmax(1).tolist())
    assert len(seen) > 40  # of 50


def test_a_sample_is_shifted_alike_in_any_batch():
    x, y, ids = images(), torch.zeros(6, dtype=torch.int64), torch.arange(6)
    whole = shifted()(network(), x, y, ids, 3)
    part = shifted()(network(), x[4:], y[4:], ids[4:], 3)
    assert torch.equal(whole[4:], part)


def test_both_attacks_what_was_augmented_and_training_lowers_the_attacked_loss():
    x = images(60)
    y = (x.mean((1, 2, 3)) > x.mean()).long()
    module, ids = network(), torch.arange(60)
    perturb = both(shifted(reach=1), adversarial(ascent()))
    moved = shifted(reach=1)(module, x, y, ids, 0)
    assert (perturb(module, x, y, ids, 0) - moved).abs().max() <= 0.1 + 1e-6
    from vauban.core.contracts import Batch

    history = fit(module, Batch(x, y, ids, None), epochs=8, batch=30, lr=0.02, perturb=perturb).history
    assert history[-1].loss < history[0].loss
