"""Bounded ReLU: its values and derivative, in any network, with a card that the adaptive threat finds."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vauban import models, threats
from vauban.core.cards import carded
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.losses import cross_entropy
from vauban.engine import Oracle
from vauban.models.bounded_relu import LEAK, BoundedReLU, LearnedReLU, leaky_bounded
from vauban.models.edits.brelu import BoundedActivations
from vauban.training.recipe import Recipe

Z = torch.tensor([-3.0, -1e-3, 1e-3, 0.4, 0.799, 0.801, 5.0], dtype=torch.float64)


class Functional(nn.Module):
    """Two activations as functions, and one as a module."""

    def __init__(self, modules: bool = True) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 3)
        self.act = nn.ReLU() if modules else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(F.leaky_relu(self.act(self.first(x)))))


@pytest.mark.parametrize("make", [BoundedReLU, LearnedReLU])
def test_values_and_derivative(make: type[nn.Module]) -> None:
    module, z = make(0.8).double(), Z.clone().requires_grad_()
    value = module(z)
    torch.testing.assert_close(value, torch.tensor([0, 0, 1e-3, 0.4, 0.799, 0.8, 0.8], dtype=torch.float64))
    (g,) = torch.autograd.grad(value.sum(), z)
    assert g.tolist() == [0, 0, 1, 1, 1, 0, 0]


def test_the_learned_bound_is_moved_by_what_it_cuts_off() -> None:
    module = LearnedReLU(0.8).double()
    module(Z).sum().backward()
    assert float(module.t.grad) == 2  # 0.801 and 5
    with torch.no_grad():
        module.t.fill_(-3.0)
    assert bool((module(Z) >= 0).all())
    assert module(Z).max().item() == 1e-6


@pytest.mark.parametrize("make", [BoundedReLU, LearnedReLU])
def test_the_cards_rule_is_the_same_with_a_leak(make: type[nn.Module]) -> None:
    module, z = make(0.8).double(), Z.clone().requires_grad_()
    rule = module.card.backward[""]
    value = rule(z)
    (g,) = torch.autograd.grad(value.sum(), z)
    assert g.tolist() == [LEAK, LEAK, 1, 1, 1, LEAK, LEAK]
    torch.testing.assert_close(value[2:5], module(Z)[2:5])
    torch.testing.assert_close(leaky_bounded(Z, t=0.8), value.detach())


@pytest.mark.parametrize("name", ["mnist-c4", "efficient-cnn:activation=elu", "efficient-resnet", "small-residual"])
def test_every_activation_of_a_network_is_replaced_and_the_network_is_left_as_it_was(name: str) -> None:
    net = models.build(name).eval()
    text, kinds = repr(net), (nn.ReLU, nn.LeakyReLU, nn.ELU)
    edited = BoundedActivations(0.7).edit(net)
    bounded = [part for part in edited.modules() if isinstance(part, BoundedReLU)]
    assert len(bounded) == sum(isinstance(part, kinds) for part in net.modules()) > 0
    assert all(part.max_val == 0.7 and not part.training for part in bounded)
    assert not any(isinstance(part, kinds) for part in edited.modules())
    assert repr(net) == text
    ours, theirs = dict(edited.named_parameters()), dict(net.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(ours[key] is theirs[key] for key in ours)
    x = torch.rand(2, *((3, 32, 32) if "small" in name else (1, 28, 28)))
    assert not torch.equal(edited(x), net(x))


def test_bounds_for_each_layer_and_learned_ones() -> None:
    net = models.build("efficient-cnn")
    edited = BoundedActivations((1.0, 2.0, 0.5)).edit(net)
    assert [part.max_val for part in edited.modules() if isinstance(part, BoundedReLU)] == [1.0, 2.0, 0.5]
    learned = BoundedActivations((1.0, 2.0, 0.5), learned=True).edit(net)
    assert [p.item() for name, p in learned.named_parameters() if name.endswith(".t")] == [1.0, 2.0, 0.5]
    again = BoundedActivations(3.0).edit(learned)
    assert {part.max_val for part in again.modules() if isinstance(part, BoundedReLU)} == {3.0}
    with pytest.raises(ContractError, match="t for each of the 3 activations of Sequential, got 2 values"):
        BoundedActivations((1.0, 2.0)).edit(net)


def test_functional_activations_are_refused_with_their_count() -> None:
    batch = Batch(torch.rand(2, 4), torch.tensor([0, 1]), torch.arange(2), None)
    edited = BoundedActivations().edit(Functional())
    with pytest.raises(ContractError, match=r"got 2 calls of functions such as torch\.relu"):
        BoundedActivations().check(edited, batch)
    with pytest.raises(ContractError, match="got 0 among the 4 modules of Functional"):
        BoundedActivations().edit(Functional(modules=False))
    plain = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3), nn.GELU())
    for learned in (False, True):
        BoundedActivations(learned=learned).check(BoundedActivations(learned=learned).edit(plain), batch)


@pytest.mark.parametrize("t", [0, -1.0, float("nan"), float("inf"), "one", (), (1.0, -2.0), True])
def test_bounds_out_of_range_are_refused(t: object) -> None:
    with pytest.raises(ContractError, match=r"t of BoundedActivations|t for each"):
        BoundedActivations(t).edit(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))


@pytest.mark.parametrize("learned", [False, True])
def test_the_adaptive_threat_finds_the_rules_also_in_a_copy(learned: bool) -> None:
    """A network that is saturated everywhere has no gradient, and one under the adaptive threat."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    with torch.no_grad():
        net[1].bias.fill_(50.0)
    edited = copy.deepcopy(BoundedActivations(1.0, learned).edit(net)).eval()
    assert [card.name for _, card in carded(edited)] == ["brelu"]
    x, y = torch.rand(3, 4, dtype=torch.float64), torch.arange(3)
    gradients = {}
    for threat in (threats.white_box(), threats.adaptive()):
        oracle = Oracle.open(threat.bind(edited, levels=None), x, y)
        _, (g,) = oracle.gradient(x, cross_entropy)
        gradients[threat.name] = g
    assert not gradients["white-box"].any()
    p = edited(x).softmax(1).detach()
    up = (p - F.one_hot(y, 3)) @ net[3].weight.detach() @ (LEAK * net[1].weight.detach())
    torch.testing.assert_close(gradients["adaptive"], up)


def test_an_architectures_own_bounded_relu_has_the_card_too() -> None:
    assert len(list(carded(models.build("efficient-cnn:activation=brelu")))) == 3
    assert str(Recipe((BoundedActivations(2.0, True),))) == "brelu:t=2.0,learned=true"
    assert str(Recipe((BoundedActivations((1.0, 2.0)),))) == "brelu:t=[1.0][2.0]"
