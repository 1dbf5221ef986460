"""Every objective declares its passes: counted on a network, forwards and backwards, for each sample and step."""

from __future__ import annotations

import pytest
import torch
from tests.training.counting import Counted, images
from torch import nn

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.norms import Linf
from vauban.training import registry
from vauban.training.loop import optimise
from vauban.training.objectives.adversarial import AdversarialTraining
from vauban.training.objectives.awp import WeightPerturbation
from vauban.training.objectives.distillation import Distillation
from vauban.training.objectives.ensemble import EnsembleTraining
from vauban.training.objectives.fast import FastTraining
from vauban.training.objectives.free import FreeTraining
from vauban.training.objectives.jacobian import JacobianPenalty
from vauban.training.objectives.standard import StandardTraining
from vauban.training.objectives.trades import Trades
from vauban.training.objectives.vat import VirtualTraining
from vauban.training.recipe import RecipePart

K = 3
PGD3 = PGD(Linf(0.1), steps=K)
TEACHER = Counted()
DECLARED = {
    "standard": (StandardTraining(), (1, 1)),
    "replacing": (AdversarialTraining(PGD3), (K + 1, K + 1)),
    "mixture": (AdversarialTraining(PGD3, alpha=0.5), (K + 2, K + 2)),
    "trades": (Trades(PGD3), (K + 2, K + 2)),
    "free": (FreeTraining(0.1, replays=4), (1, 1)),
    "fast": (FastTraining(0.1), (2, 2)),
    "ensemble": (EnsembleTraining(PGD3, (TEACHER,)), (K + 2, K + 2)),
    "vat": (VirtualTraining(steps=2), (5, 4)),
    "distillation": (Distillation(TEACHER), (2, 1)),
    "jacobian": (JacobianPenalty(projections=2), (1, 3)),
    "awp of at": (WeightPerturbation(AdversarialTraining(PGD3)), (K + 2, K + 2)),
    "awp of trades": (WeightPerturbation(Trades(PGD3)), (K + 4, K + 4)),
}


@pytest.mark.parametrize("name", DECLARED)
def test_passes_are_those_declared(name: str) -> None:
    part, passes = DECLARED[name]
    objective, network, batch, steps = part.objective(0), Counted(), images(), 4
    objective(network, batch, 0)  # the number of classes is asked once
    TEACHER.forwards = TEACHER.backwards = network.forwards = network.backwards = 0
    for step in range(1, steps + 1):
        value, _ = objective(network, batch, step)
        value.backward()
    rows = steps * len(batch.x)
    assert objective.passes == passes
    assert network.forwards + TEACHER.forwards == passes[0] * rows
    if name != "jacobian":  # its last backward goes through the graph of the others
        assert network.backwards + TEACHER.backwards == passes[1] * rows


def test_every_objective_that_is_registered_is_counted() -> None:
    counted = {type(part).__name__ for part, _ in DECLARED.values()}
    counted |= {"IntervalTraining"}  # declares none: intervals go through the layers and not through the network
    parts = [entry.make for entry in registry if isinstance(entry.make, type)]
    assert {part.__name__ for part in parts if part.objective is not RecipePart.objective} <= counted


def test_free_training_steps_on_each_batch_several_times() -> None:
    network, objective = Counted(), FreeTraining(0.1, replays=4).objective(0)
    optimise(network, images(12), epochs=2, batch=4, objective=objective)
    assert network.forwards == network.backwards == 2 * 12 * 4


@pytest.mark.parametrize("name", DECLARED)
def test_frozen_batch_normalisation_keeps_its_statistics_bit_for_bit(name: str) -> None:
    network = Counted()
    network.net[2].eval()
    network.net[2].running_mean.fill_(0.25)
    before = {key: value.clone() for key, value in network.named_buffers()}
    optimise(network, images(12), epochs=2, batch=4, objective=DECLARED[name][0].objective(0))
    assert all(torch.equal(value, before[key]) for key, value in network.named_buffers())


@pytest.mark.parametrize("name", DECLARED)
def test_modes_and_flags_of_the_network_are_left_as_they_are(name: str) -> None:
    network = Counted()
    modes = [(part, part.training) for part in network.modules()]
    objective = DECLARED[name][0].objective(0)
    for step in range(3):
        value, _ = objective(network, images(), step)
        assert all(parameter.grad is None for parameter in network.parameters())
        torch.autograd.grad(value, list(network.parameters()), allow_unused=True)
    assert [(part, part.training) for part in network.modules()] == modes


class Momentum(nn.Module):
    """Batch normalisation alone in front of a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.dense = nn.BatchNorm2d(2), nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(self.norm(x).flatten(1))


@pytest.mark.parametrize("make", [AdversarialTraining, Trades])
def test_batch_normalisation_may_be_in_training_mode_while_images_are_made(make: type) -> None:
    counts = {}
    for mode in ("evaluation", "training"):
        network, objective = Momentum(), make(PGD3, batch_norm=mode).objective(0)
        optimise(network, images(8), epochs=1, batch=8, objective=objective)
        counts[mode] = int(network.norm.num_batches_tracked)
    own = 1 if make is AdversarialTraining else 2
    assert counts == {"evaluation": own, "training": own + K}
