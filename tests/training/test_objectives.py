"""What a training step makes small, and what crafting images for it costs."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vauban.attacks.fixed_budget.bim import BIM
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.ddn import DDN
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.engine import BoundThreat, Oracle, Restarts, iterate
from vauban.training.loop import optimise
from vauban.training.objective import craft
from vauban.training.objectives.adversarial import AdversarialObjective
from vauban.training.objectives.standard import CleanObjective


class Counting(nn.Module):
    """A linear network with batch normalisation that counts the images it is shown and their gradients, by mode."""

    def __init__(self):
        super().__init__()
        with seeded(0):
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(32, 3), nn.BatchNorm1d(3))
        self.calls = {True: [], False: []}
        self.gradients = 0

    def forward(self, x):
        self.calls[self.training].append(len(x))
        if x.requires_grad:
            x.register_hook(self._gradient)
        return self.net(x)

    def _gradient(self, g):
        self.gradients += 1


def images(n=6):
    x = torch.rand(n, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    return Batch(x, torch.arange(n) % 3, torch.arange(n) * 5 + 1, None)


def test_k_steps_cost_k_forwards_and_k_backwards_and_the_classes_are_asked_once():
    network, objective = Counting(), AdversarialObjective(PGD(Linf(0.1), steps=5))
    optimise(network, images(12), epochs=2, batch=4, objective=objective)
    assert network.calls[True] == [4] * 6  # the forward of each step
    assert network.calls[False] == [1] + [4] * 5 * 6  # one image for the number of classes, then k for each step
    assert network.gradients == 5 * 6


@pytest.mark.parametrize("attack", [PGD(Linf(0.1), steps=3), BIM(Linf(0.1), steps=3), FGSM(Linf(0.1)), DDN(steps=4)])
def test_images_are_the_last_iterates_whether_they_fool_or_not(attack):
    network, batch = Counting().eval(), images(30)

    def oracle():
        return Oracle.open(BoundThreat(network, levels=None), batch.x, batch.y, ids=batch.ids, seed=3)

    judged = iterate(attack, oracle(), stop="never", keep="last")
    assert torch.equal(craft(attack, oracle()), judged.crafted)
    assert int(judged.success.sum()) > 0


def test_an_attack_with_a_loop_of_its_own_runs_as_it_is():
    network, batch, attack = Counting().eval(), images(), Restarts(PGD(Linf(0.1), steps=2), times=2)
    oracles = [Oracle.open(BoundThreat(network, levels=None), batch.x, batch.y, ids=batch.ids) for _ in range(2)]
    assert torch.equal(craft(attack, oracles[0]), attack.run(oracles[1]).crafted)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_the_loss_is_the_printed_mixture_at_the_attacks_images_of_the_step(alpha):
    network, batch, attack = Counting(), images(), PGD(Linf(0.1), steps=2)
    value, logits = AdversarialObjective(attack, alpha, seed=5)(network, batch, step=2)
    assert network.training
    twin = Counting()
    oracle = Oracle.open(BoundThreat(twin, levels=None), batch.x, batch.y, ids=batch.ids, seed=7)
    x = iterate(attack, oracle, stop="never", keep="last").crafted
    clean, attacked = (F.cross_entropy(twin(inputs), batch.y) for inputs in (batch.x, x))
    torch.testing.assert_close(value, alpha * clean + (1 - alpha) * attacked)
    assert torch.equal(logits, twin(x))
    assert network.calls[True] == [6] * (1 if alpha == 0 else 2)  # both forwards of the mixture


def test_the_gradient_of_the_mixture_is_the_mixture_of_gradients_in_closed_form():
    """A linear softmax network under FGSM: x' = clip(x + eps sign((p - onehot) W)), grad = mean (p - onehot)^T x."""
    with seeded(1):
        network = nn.Sequential(nn.Flatten(), nn.Linear(32, 3, bias=False)).double()
    batch = images()
    x, w, y = batch.x.double(), network[1].weight.detach(), F.one_hot(batch.y, 3).double()
    batch = Batch(x, batch.y, batch.ids, None)
    value, _ = AdversarialObjective(FGSM(Linf(0.05), loss=cross_entropy), 0.25)(network, batch, 0)
    value.backward()
    flat = x.flatten(1)
    up = ((flat @ w.T).softmax(1) - y) @ w
    attacked = (flat + 0.05 * up.sign()).clamp(0, 1)
    parts = [((z @ w.T).softmax(1) - y).T @ z / len(z) for z in (flat, attacked)]
    torch.testing.assert_close(network[1].weight.grad, 0.25 * parts[0] + 0.75 * parts[1])


def test_each_step_draws_its_own_start():
    network, batch, objective = Counting().eval(), images(), AdversarialObjective(PGD(Linf(0.1), steps=1))
    values = [float(objective(network, batch, step)[0].detach()) for step in (0, 1, 1)]
    assert values[0] != values[1] == values[2]


def test_the_attack_leaves_modes_and_statistics_alone():
    network, batch = Counting(), images()
    network.net[2].eval()
    modes = [m.training for m in network.modules()]
    AdversarialObjective(PGD(Linf(0.1), steps=2))(network, batch, 0)
    assert [m.training for m in network.modules()] == modes
    assert not network.net[2].running_mean.any()


def test_training_lowers_the_attacked_loss():
    batch = images(60)
    batch = Batch(batch.x, (batch.x.mean((1, 2, 3)) > batch.x.mean()).long(), batch.ids, None)
    objective = AdversarialObjective(PGD(Linf(0.02), steps=3))
    history = optimise(Counting(), batch, epochs=8, batch=30, lr=0.02, objective=objective).history
    assert history[-1].loss < history[0].loss


def test_labels_that_the_network_does_not_have_are_refused():
    batch = images()
    batch = Batch(batch.x, batch.y + 1, batch.ids, None)
    for objective in (CleanObjective(), AdversarialObjective(PGD(Linf(0.1), steps=1))):
        with pytest.raises(ContractError, match="labels in"):
            objective(Counting(), batch, 0)
