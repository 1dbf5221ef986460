"""The training loop: it learns, it is deterministic, and it leaves nothing behind."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.rng import seeded
from vauban.engine.samples import Subset, accuracy
from vauban.training.loop import optimise
from vauban.training.objectives.standard import CleanObjective
from vauban.training.schedules import schedule_of


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
    fitted = optimise(
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
        optimise(module, blobs(), epochs=2, batch=32, seed=seed)
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
    optimise(module, data, epochs=1, batch=8, optimiser=lambda p: torch.optim.SGD(p, lr=0.5))
    torch.testing.assert_close(module.weight.detach(), w - 0.5 * p.T @ data.x / 8)


def test_modes_and_gradients_are_restored_even_after_an_error():
    module = network().eval()
    module[1].train()
    modes = [m.training for m in module.modules()]

    def fail(epoch):
        raise KeyError

    with pytest.raises(KeyError):
        optimise(module, blobs(), epochs=1, validation=blobs(10), callback=fail)
    assert [m.training for m in module.modules()] == modes
    assert all(p.grad is None for p in module.parameters())


def test_frozen_parameters_stay():
    module = network()
    module[0].weight.requires_grad_(False)
    before = module[0].weight.clone()
    optimise(module, blobs(), epochs=1)
    assert torch.equal(module[0].weight, before)


@dataclass
class Watching:
    """Cross-entropy on what `see` makes of the images; notes ids and steps."""

    see: Callable[[nn.Module, torch.Tensor], torch.Tensor] = lambda module, x: x
    ids: list[list[int]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)

    def __call__(self, network, batch, step):
        self.ids.append(batch.ids.tolist())
        self.steps.append(step)
        return CleanObjective()(network, replace(batch, x=self.see(network, batch.x)), step)


def test_an_objective_sees_every_sample_once_per_epoch():
    watching = Watching(lambda module, x: torch.zeros_like(x))
    module = nn.Linear(2, 2)
    before = module.weight.detach().clone()
    optimise(module, blobs(50), epochs=2, batch=20, objective=watching)
    ids = [i for batch in watching.ids for i in batch]
    assert sorted(ids[:50]) == list(range(50))
    assert ids[:50] != ids[50:]
    assert watching.steps == list(range(6))
    assert torch.equal(module.weight, before)  # images of zeros give the weights no gradient


def test_an_objective_without_logits_has_no_accuracy():
    def objective(network, batch, step):
        return network(batch.x).square().mean(), None

    history = optimise(nn.Linear(2, 2), blobs(50), epochs=3, lr=0.01, objective=objective).history
    assert [epoch.accuracy for epoch in history] == [None] * 3
    assert history[-1].loss < history[0].loss


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before, module):
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


def test_a_normalisation_in_evaluation_mode_keeps_its_statistics_and_one_in_training_mode_does_not():
    statistics = {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    for evaluation in (False, True):
        module = network()
        module[1].train(not evaluation)
        before = state(module)
        optimise(module, blobs(), epochs=2, batch=20, validation=blobs(20))
        learnt = changed(before, module)
        assert statistics & learnt == (set() if evaluation else statistics)
        assert {"0.weight", "1.weight", "4.bias"} <= learnt
        assert [m.training for m in module.modules()] == [True, True, not evaluation, True, True, True]


def test_the_modes_of_a_step_are_those_chosen():
    seen = set()

    def note(module, x):
        seen.add(tuple(part.training for part in module))
        return x

    module = network().eval()
    for chosen in ({}, {"training_mode": lambda net: [net[3]]}, {"training_mode": nn.Module.modules}):
        seen.clear()
        optimise(module, blobs(40), epochs=1, objective=Watching(note), validation=blobs(20), **chosen)
        wanted = [False] * 5 if not chosen else [False, False, False, True, False]
        assert seen == {tuple([True] * 5) if chosen.get("training_mode") is nn.Module.modules else tuple(wanted)}
        assert not any(part.training for part in module.modules())


def test_only_what_is_trainable_is_optimised_and_nothing_else_is_touched():
    module = network()
    module[0].bias.requires_grad_(False)
    module[0].weight.grad = torch.ones(16, 2)
    before = state(module)
    optimise(module, blobs(), epochs=1, trainable=lambda net: [net[0].bias], training_mode=lambda net: [], lr=0.01)
    assert changed(before, module) == {"0.bias"}
    assert [p.requires_grad for p in module[0].parameters()] == [True, False]
    assert torch.equal(module[0].weight.grad, torch.ones(16, 2))


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_weight_decay_shrinks_what_no_gradient_moves(optimiser):
    module = nn.Linear(2, 2, bias=False)
    before = module.weight.detach().clone()

    def flat(network, batch, step):
        return 0 * network(batch.x).sum(), None

    optimise(module, blobs(8), epochs=1, batch=8, lr=0.1, optimiser=optimiser, weight_decay=0.5, objective=flat)
    step = (
        0.1 * before.sign() if optimiser == "adam" else 0.1 * 0.5 * before
    )  # Adam's first step is lr in every component
    torch.testing.assert_close(module.weight.detach(), before - step)


def test_the_schedule_scales_the_learning_rate():
    module = nn.Linear(2, 2)
    before = weights(module)
    progress = []

    def stop(p):
        progress.append(p)
        return 0.0

    optimise(module, blobs(40), epochs=2, batch=20, schedule=stop)
    assert progress == [0.0, 0.25, 0.5, 0.75]
    assert torch.equal(weights(module), before)


@pytest.mark.parametrize(
    ("name", "values"), [("constant", [1, 1, 1]), ("cosine", [1, 0.5, 0]), ("linear", [1, 0.5, 0])]
)
def test_named_schedules(name, values):
    assert [schedule_of(name)(p) for p in (0.0, 0.5, 1.0)] == pytest.approx(values, abs=1e-7)
    with pytest.raises(ContractError, match="constant, cosine, linear"):
        schedule_of("steps")


def test_a_last_batch_of_one_joins_the_one_before():
    watching = Watching()
    optimise(network(), blobs(41), epochs=1, batch=20, objective=watching)
    assert [len(ids) for ids in watching.ids] == [20, 21]


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
        optimise(nn.Linear(2, 2), blobs(), **changes)


def test_bad_labels_and_modules_are_refused():
    data = blobs(6)
    with pytest.raises(ContractError, match="labels in"):
        optimise(nn.Linear(2, 2), Batch(data.x, data.y * 2, data.ids, None), epochs=1)
    with pytest.raises(ContractError, match="0 parameters"):
        optimise(nn.Flatten(), data, epochs=1)
