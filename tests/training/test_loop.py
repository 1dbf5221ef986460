"""The training loop: it learns, it is deterministic, and it leaves nothing behind."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.rng import seeded
from vauban.engine.samples import Subset, accuracy
from vauban.training.loop import fit


def blobs(n=200):
    """Two separable clouds in the unit square."""
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 2
    x = (0.3 + 0.4 * y[:, None] + 0.1 * torch.rand(n, 2, generator=draw)).clamp(0, 1)
    return Batch(x, y, torch.arange(n), None)


def network(seed=0):
    with seeded(seed):
        return nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


@pytest.mark.parametrize("optimiser", ["adam", "sgd", lambda p: torch.optim.RMSprop(p, lr=0.01)])
def test_it_learns_and_reports(optimiser):
    seen = []
    module = network()
    fitted = fit(
        module, blobs(), epochs=5, batch=20, lr=0.02, optimiser=optimiser, validation=blobs(50), callback=seen.append
    )
    assert fitted.validation == 1.0
    assert accuracy(module, blobs()) == 1.0
    assert tuple(seen) == fitted.history
    assert [e.number for e in fitted.history] == [1, 2, 3, 4, 5]
    assert fitted.history[-1].loss < fitted.history[0].loss


def test_the_seed_decides_everything_and_the_global_generator_nothing():
    runs = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.default_generator.manual_seed(noise)
        before = torch.get_rng_state()
        module = network()
        fit(module, blobs(), epochs=2, batch=32, seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        runs.append(weights(module))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_one_step_is_plain_gradient_descent():
    with seeded(3):
        module = nn.Linear(2, 2)
    data = blobs(8)
    w = module.weight.detach().clone()
    p = F.softmax(module(data.x), 1).detach() - F.one_hot(data.y, 2)
    fit(module, data, epochs=1, batch=8, optimiser=lambda p: torch.optim.SGD(p, lr=0.5))
    torch.testing.assert_close(module.weight.detach(), w - 0.5 * p.T @ data.x / 8)


def test_modes_and_gradients_are_restored_even_after_an_error():
    module = network().eval()
    module[1].train()
    modes = [m.training for m in module.modules()]

    def fail(epoch):
        raise KeyError

    with pytest.raises(KeyError):
        fit(module, blobs(), epochs=1, validation=blobs(10), callback=fail)
    assert [m.training for m in module.modules()] == modes
    assert all(p.grad is None for p in module.parameters())


def test_frozen_parameters_stay():
    module = network()
    module[0].weight.requires_grad_(False)
    before = module[0].weight.clone()
    fit(module, blobs(), epochs=1)
    assert torch.equal(module[0].weight, before)


def test_perturb_sees_every_sample_once_per_epoch_and_replaces_it():
    ids, steps = [], []

    def zero(module, x, y, index, step):
        assert module.training
        ids.extend(index.tolist())
        steps.append(step)
        return torch.zeros_like(x)

    module = nn.Linear(2, 2)
    before = module.weight.detach().clone()
    fit(module, blobs(50), epochs=2, batch=20, perturb=zero)
    assert sorted(ids[:50]) == list(range(50))
    assert ids[:50] != ids[50:]
    assert steps == list(range(6))
    assert torch.equal(module.weight, before)  # images of zeros give the weights no gradient


def test_the_schedule_scales_the_learning_rate():
    module = nn.Linear(2, 2)
    before = weights(module)
    progress = []

    def stop(p):
        progress.append(p)
        return 0.0

    fit(module, blobs(40), epochs=2, batch=20, schedule=stop)
    assert progress == [0.0, 0.25, 0.5, 0.75]
    assert torch.equal(weights(module), before)


def test_a_last_batch_of_one_joins_the_one_before():
    sizes = []

    def note(module, x, y, ids, step):
        sizes.append(len(x))
        return x

    fit(network(), blobs(41), epochs=1, batch=20, perturb=note)
    assert sizes == [20, 21]


def test_accuracy_counts_in_evaluation_mode():
    module = nn.Sequential(nn.Dropout(0.99), nn.Linear(2, 2))
    with torch.no_grad():
        module[1].weight.copy_(torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
        module[1].bias.copy_(torch.tensor([1.0, -1.0]))
    part = Subset(blobs(), torch.arange(40))
    assert accuracy(module, part, batch=7) == 1.0
    assert module.training
    held = blobs(4)
    assert accuracy(module, Batch(held.x, torch.tensor([0, 1, 1, 1]), held.ids, None)) == 0.75


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epochs": 0}, "epochs >= 1"),
        ({"epochs": 1, "batch": 0}, "batch >= 1"),
        ({"epochs": 1, "optimiser": "adamw"}, "optimiser 'adam', 'sgd'"),
        ({"epochs": 3, "lr": float("inf"), "optimiser": "sgd"}, "lower lr"),
    ],
)
def test_bad_settings_get_one_line(changes, says):
    with pytest.raises(ContractError, match=says):
        fit(nn.Linear(2, 2), blobs(), **changes)


def test_bad_labels_and_modules_are_refused():
    data = blobs(6)
    with pytest.raises(ContractError, match="labels in"):
        fit(nn.Linear(2, 2), Batch(data.x, data.y * 2, data.ids, None), epochs=1)
    with pytest.raises(ContractError, match="0 parameters"):
        fit(nn.Flatten(), data, epochs=1)
