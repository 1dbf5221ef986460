"""Weighted sums of losses over networks with and without a path, against gradients taken one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vauban import threats
from vauban.core.cards import Card, Defended
from vauban.core.errors import ContractError
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import cross_entropy
from vauban.core.rng import seeded
from vauban.defences import MeanFilter
from vauban.engine import Oracle
from vauban.words.threat import threat_of


class Filter(Defended):
    """The mean of each pixel and its left neighbour."""

    def __init__(self, inner: nn.Module, card: Card) -> None:
        super().__init__(inner, card)
        self.transform = Steep() if card.backward else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.transform((x + x.roll(1, -1)) / 2))


class Steep(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 4).round() / 4


class Path:
    def __init__(self, card: Card) -> None:
        self.card, self.name = card, card.name

    def wrap(self, module: nn.Module) -> nn.Module:
        return Filter(module, self.card)


PLAIN = Path(Card("roll"))


@pytest.fixture(scope="module")
def nets() -> list[nn.Module]:
    with seeded("tests", "hybrid"):
        return [
            nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 3)).double().requires_grad_(False)
            for _ in range(3)
        ]


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.rand(5, 1, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


Y = torch.tensor([0, 1, 2, 0, 1])


def single(net: nn.Module, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_(True)
    return torch.autograd.grad(cross_entropy(net(leaf), ResolvedGoal(Y)).sum(), leaf)[0]


def asked(recipe: threats.Threat, target: nn.Module, x: Tensor) -> Tensor:
    return Oracle.open(recipe.bind(target, levels=None), x, Y).gradient(x, cross_entropy)[1][0]


def test_an_ensembles_gradient_is_the_weighted_sum_of_the_single_gradients(nets: list[nn.Module], x: Tensor) -> None:
    one = [single(net, x) for net in nets]
    torch.testing.assert_close(asked(threats.ensemble(nets, [1.0, 1.0, 1.0]), nets[0], x), sum(one))
    torch.testing.assert_close(asked(threats.ensemble(nets), nets[0], x), sum(one) / 3)
    mixed = asked(threats.ensemble(nets, [0.5, -2.0, 3.0]), nets[1], x)
    torch.testing.assert_close(mixed, 0.5 * one[0] - 2 * one[1] + 3 * one[2])


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (1.0, 2.0), (0.25, 0.0), (0.0, 3.0)])
def test_the_hybrid_loss_of_one_network_is_eq_5(nets: list[nn.Module], x: Tensor, a: float, b: float) -> None:
    recipe = threats.hybrid(nets[0], PLAIN, a, b)
    want = a * single(nets[0], x) + b * single(PLAIN.wrap(nets[0]), x)
    torch.testing.assert_close(asked(recipe, nets[0], x), want)
    oracle = Oracle.open(recipe.bind(nets[0], levels=None), x, Y)
    oracle.gradient(x, cross_entropy)
    assert (oracle.forwards == (a != 0) + (b != 0)).all()


def test_the_hybrid_loss_of_several_networks_is_eq_6(nets: list[nn.Module], x: Tensor) -> None:
    want = sum(0.5 * single(net, x) + 2 * single(PLAIN.wrap(net), x) for net in nets)
    torch.testing.assert_close(asked(threats.hybrid(nets, PLAIN, 0.5, 2.0), PLAIN.wrap(nets[2]), x), want)


def test_the_hybrid_loss_follows_the_card_of_its_path(nets: list[nn.Module], x: Tensor) -> None:
    steep = Path(Card("steep", backward={"transform": None}))
    got = asked(threats.hybrid(nets[0], steep), nets[0], x)

    class WeightedNetwork(nn.Module):
        def forward(self, v: Tensor) -> Tensor:
            mixed = (v + v.roll(1, -1)) / 2
            return nets[0](mixed + ((mixed * 4).round() / 4 - mixed).detach())

    torch.testing.assert_close(got, single(nets[0], x) + single(WeightedNetwork(), x))
    noisy = Path(Card("noisy", random=True, draws=3))
    assert threats.hybrid(nets[0], noisy).bind(nets[0], levels=None).draws == 3


def test_a_hybrids_name_says_what_differs_from_the_default(nets: list[nn.Module]) -> None:
    assert threats.hybrid(nets, PLAIN).name == "hybrid:path=roll"
    assert threats.load("hybrid", models=nets, path=PLAIN, b=2.0).name == "hybrid:path=roll,b=2.0"


def test_a_hybrid_is_named_on_the_command_line() -> None:
    named = threat_of("hybrid:models=[digits-cnn],path=[mean-filter:size=5],b=2")
    assert named.value.path == MeanFilter(5)
    assert named.value.b == 2
    assert len(named.value.bind(named.value.models[0], levels=256).sources) == 2


def test_bad_hybrids_are_refused_in_one_line(nets: list[nn.Module], x: Tensor) -> None:
    two = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).double()
    cases = {
        "all zero": lambda: threats.hybrid(nets, PLAIN, 0.0, 0.0),
        "a of Hybrid as a (finite )?number": lambda: threats.hybrid(nets, PLAIN, float("inf")),
        "at least one torch.nn.Module": lambda: threats.hybrid([], PLAIN),
        r"models of Hybrid as Module or several values, each Module, got \[3\]": lambda: threats.hybrid([3], PLAIN),
        r"a path with \.wrap\(module\)": lambda: threats.hybrid(nets, torch.tanh),
        "classes, got": lambda: Oracle.open(threats.hybrid([nets[0], two], PLAIN).bind(nets[0], levels=None), x, Y),
    }
    for message, call in cases.items():
        with pytest.raises(ContractError, match=message) as error:
            call()
        assert "\n" not in str(error.value)
