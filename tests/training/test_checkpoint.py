"""A training that is killed in an epoch goes on from the last one and ends with the same bits."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.ddn import DDN
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.training.augmentation.epoch_adversarial import EpochAdversarial
from vauban.training.augmentation.mirror_shift import MirrorShift
from vauban.training.augmentation.noise import GaussianAugmentation
from vauban.training.augmentation.squeezing import Squeezing
from vauban.training.criteria.label_smoothing import LabelSmoothing
from vauban.training.loop import optimise
from vauban.training.objective import Stateful
from vauban.training.objectives.adversarial import AdversarialTraining
from vauban.training.objectives.awp import WeightPerturbation
from vauban.training.objectives.distillation import Distillation
from vauban.training.objectives.ensemble import EnsembleTraining
from vauban.training.objectives.fast import FastTraining
from vauban.training.objectives.free import FreeTraining
from vauban.training.objectives.jacobian import JacobianPenalty
from vauban.training.objectives.standard import CleanObjective, StandardTraining
from vauban.training.objectives.trades import Trades
from vauban.training.objectives.vat import VirtualTraining
from vauban.training.recipe import Recipe
from vauban.training.samples import training_samples

DRIVER = Path(__file__).with_name("kill_training_driver.py")


class KilledError(Exception):
    """Stands for a process that dies."""


def data(n=60):
    draw = torch.Generator().manual_seed(3)
    x = torch.randint(256, (n, 3, 8, 8), generator=draw) / 255
    return Batch(x, (x.mean((1, 2, 3)) > x.mean()).long(), torch.arange(n) * 3, 256)


def network():
    """Batch normalisation, dropout and a buffer that no weights file has, channels last."""
    with seeded(7):
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Conv2d(8, 4, 3),
            nn.Flatten(),
            nn.Linear(144, 2),
        )
    net[5].register_buffer("unsaved", torch.zeros(2), persistent=False)
    net[5].register_forward_hook(_seen)
    return net.to(memory_format=torch.channels_last)


def _seen(module, args, output):
    if module.training:
        module.unsaved += output.detach().mean(0)[:2]


class Dying:
    """An objective whose process dies in the call of a given step, once."""

    def __init__(self, inner, step):
        self.inner, self.step = inner, step
        self.repeats = getattr(inner, "repeats", 1)

    def state(self):
        return self.inner.state() if isinstance(self.inner, Stateful) else {}

    def load_state(self, state):
        if isinstance(self.inner, Stateful):
            self.inner.load_state(state)

    def __call__(self, net, batch, step):
        if step == self.step:
            self.step = None
            raise KilledError
        return self.inner(net, batch, step)


class Averaging:
    """Remembers the mean logits of all steps so far and pulls the next ones toward it."""

    def __init__(self):
        self.mean = torch.zeros(2)

    def __call__(self, net, batch, step):
        value, logits = CleanObjective()(net, batch, step)
        value = value + (logits.mean(0) - self.mean).square().sum()
        self.mean = 0.9 * self.mean + 0.1 * logits.detach().mean(0)
        return value, logits

    def state(self):
        return {"mean": self.mean}

    def load_state(self, state):
        self.mean = state["mean"]


class DyingAveraging(Averaging):
    """Dies in the call of a given step."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def __call__(self, net, batch, step):
        if step == self.step:
            raise KilledError
        return super().__call__(net, batch, step)


def trained(path=None, recipe=None, net=None, dies=None, **changes):
    """(network, history) of three epochs of a recipe; `dies`: the step in whose call the process dies."""
    recipe, net = recipe or Recipe(), net or network()
    objective = recipe.objective(2)
    history = optimise(
        net,
        recipe.samples(training_samples(data()), 2),
        objective=Dying(objective, dies),
        **{"epochs": 3, "batch": 16, "lr": 3e-3, "schedule": "cosine", "seed": 2, "validation": data(20)} | changes,
        checkpoint=path,
    )
    return net, history.history


def tensors(net):
    return {**dict(net.named_parameters()), **dict(net.named_buffers())}


def assert_same(one, other):
    assert tensors(one).keys() == tensors(other).keys()
    for name, value in tensors(one).items():
        assert torch.equal(value, tensors(other)[name]), name


def told(history):
    return [(e.number, e.loss, e.accuracy, e.validation) for e in history]


RECIPES = {
    "plain": Recipe(),
    "adversarial": AdversarialTraining(PGD(Linf(0.1), steps=2)) + MirrorShift(2),
    "mixture": Recipe((AdversarialTraining(PGD(Linf(0.1), steps=2), 0.5),)),
    "epoch": EpochAdversarial(DDN(steps=3)) + MirrorShift(1),
    "smoothed": Recipe((StandardTraining(criterion=LabelSmoothing()),)),
    "trades": Recipe((Trades(PGD(Linf(0.1), steps=2)),)),
    "free": Recipe((FreeTraining(0.1, replays=1),)),
    "fast": Recipe((FastTraining(0.1),)),
    "ensemble": Recipe((EnsembleTraining(FGSM(Linf(0.1)), (network(), network())),)),
    "awp": Recipe((WeightPerturbation(FreeTraining(0.1, replays=1)),)),
    "vat": VirtualTraining(eps=0.3) + Squeezing(3),
    "gda": Recipe((GaussianAugmentation(0.1, n=2, fresh=True),)),
    "distillation": Recipe((Distillation(network()),)),
    "jacobian": Recipe((JacobianPenalty(),)),
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_a_training_that_dies_in_an_epoch_ends_with_the_same_bits(recipe, optimiser, tmp_path):
    recipe, path = RECIPES[recipe], tmp_path / "run.checkpoint"
    whole, history = trained(recipe=recipe, optimiser=optimiser, weight_decay=1e-2)
    for dies in (6, 11):  # 4 steps an epoch, 8 from the second on where each sample is there twice
        with pytest.raises(KilledError):
            trained(path, recipe, dies=dies, optimiser=optimiser, weight_decay=1e-2)
    again, resumed = trained(path, recipe, optimiser=optimiser, weight_decay=1e-2)
    assert_same(whole, again)
    assert told(history) == told(resumed)


def test_only_the_epochs_that_are_left_are_trained(tmp_path):
    path, steps = tmp_path / "run.checkpoint", []

    def note(net, batch, step):
        steps.append(step)
        return CleanObjective()(net, batch, step)

    with pytest.raises(KilledError):
        trained(path, dies=9)
    optimise(
        network(),
        training_samples(data()),
        objective=Dying(note, None),
        epochs=3,
        batch=16,
        lr=3e-3,
        schedule="cosine",
        seed=2,
        checkpoint=path,
    )
    assert steps == [8, 9, 10, 11]
    finished, history = trained(path)
    assert len(history) == 3
    assert steps == [8, 9, 10, 11]
    assert_same(finished, trained()[0])


def test_the_objectives_state_goes_on(tmp_path):
    def run(objective, path):
        net = network()
        optimise(net, data(), epochs=3, batch=16, objective=objective, checkpoint=path)
        return net

    whole = run(DyingAveraging(None), None)
    with pytest.raises(KilledError):
        run(DyingAveraging(7), tmp_path / "run.checkpoint")
    fresh = DyingAveraging(None)
    assert_same(whole, run(fresh, tmp_path / "run.checkpoint"))
    assert fresh.mean.any()


def test_frozen_parts_and_an_optimiser_of_ones_own_resume(tmp_path):
    def run(path, dies=None):
        net = network()
        net[1].eval()
        chosen = {
            "trainable": lambda net: [*net[4].parameters(), *net[6].parameters()],
            "optimiser": lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.5, centered=True),
        }
        return trained(path, net=net, dies=dies, **chosen)[0]

    whole, path = run(None), tmp_path / "run.checkpoint"
    with pytest.raises(KilledError):
        run(path, 5)
    assert_same(whole, run(path))
    assert torch.equal(whole[0].weight, network()[0].weight)
    assert not whole[1].running_mean.any()


def test_the_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "run.checkpoint"
    trained(path, epochs=1)
    before = path.read_bytes()
    for changes, says in (
        ({"seed": 3}, "seed=2 instead of 3"),
        ({"lr": 0.1}, "lr="),
        ({"optimiser": "sgd"}, "optimiser=adam"),
    ):
        with pytest.raises(ContractError, match=says):
            trained(path, **{"epochs": 1, **changes})
    with pytest.raises(ContractError, match="parameters or buffers"):
        trained(path, net=nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), epochs=1)
    with pytest.raises(ContractError, match="objective="):
        optimise(network(), data(), epochs=1, batch=16, lr=3e-3, schedule="cosine", seed=2, checkpoint=path)
    assert path.read_bytes() == before
    path.write_bytes(b"half")
    with pytest.raises(ContractError, match=r"run\.checkpoint: expected the checkpoint"):
        trained(path, epochs=1)


def test_a_checkpoint_is_safetensors_with_json(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "run.checkpoint"
    net, history = trained(path, epochs=2)
    with safe_open(path, "pt") as file:
        names, text = set(file.keys()), json.loads(file.metadata()["vauban-checkpoint"])
    assert {f"network.{name}" for name in tensors(net)} <= names
    assert {"optimiser.0.exp_avg", "optimiser.0.step"} <= names
    assert (text["steps"], [e["loss"] for e in text["history"]]) == (8, [e.loss for e in history])


@pytest.mark.slow
def test_a_training_that_is_killed_by_the_system_ends_with_the_same_bits(tmp_path):
    """SIGKILL in the middle of the second epoch and of the third, each in a process of its own."""

    def process(checkpoint, dies):
        command = [sys.executable, str(DRIVER), str(checkpoint), str(tmp_path / "end.pt"), str(dies)]
        return subprocess.run(command, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode

    assert process(tmp_path / "run.checkpoint", 6) == -signal.SIGKILL
    assert process(tmp_path / "run.checkpoint", 13) == -signal.SIGKILL
    assert process(tmp_path / "run.checkpoint", -1) == 0
    resumed = torch.load(tmp_path / "end.pt", weights_only=True)
    assert process(tmp_path / "other.checkpoint", -1) == 0
    whole = torch.load(tmp_path / "end.pt", weights_only=True)
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["end.pt", "other.checkpoint", "run.checkpoint"]
