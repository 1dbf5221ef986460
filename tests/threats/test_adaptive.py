"""BPDA and EOT: the forward value is the network's own, the gradient is the substitute's, the mean is a mean."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vauban import threats
from vauban.core.cards import Card, Defended
from vauban.core.errors import ContractError
from vauban.core.goals import ResolvedGoal
from vauban.core.rng import seeded
from vauban.engine import Oracle
from vauban.threats import prescription
from vauban.threats.base import rules_of


def gap(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    return logits[:, 1] - logits[:, 0]


class Steep(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 4).round() / 4


class Factor(nn.Module):
    """x times a random factor; remembers the factors."""

    def __init__(self) -> None:
        super().__init__()
        self.factors: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.factors.append(0.5 + torch.rand(len(x), 1, dtype=x.dtype))
        return x * self.factors[-1]


class Guard(Defended):
    def __init__(self, inner: nn.Module, card: Card, **parts: nn.Module) -> None:
        super().__init__(inner, card)
        self.order = list(parts)
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        for name in self.order:
            x = getattr(self, name)(x)
        return self.inner(x)


@pytest.fixture
def network() -> nn.Module:
    with seeded("tests", "adaptive"):
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2)).double().requires_grad_(False)


@pytest.fixture
def x() -> Tensor:
    return torch.rand(6, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def expected(function: object, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_(True)
    logits = function(leaf)
    return torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), leaf)[0]


def asked(recipe: threats.Threat, net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    oracle = Oracle.open(recipe.bind(net, levels=None), x, torch.zeros(len(x), dtype=torch.int64))
    logits, (g,) = oracle.gradient(x, gap)
    return logits, g


def square(v: Tensor) -> Tensor:
    return v * v


def through(value: Tensor, substitute: Tensor) -> Tensor:
    """The value of one, the gradient of the other: an independent way to write BPDA."""
    return value.detach() + substitute - substitute.detach()


@pytest.mark.parametrize("rule", [None, square])
def test_the_gradient_is_the_substitutes_and_the_value_bit_identical(
    network: nn.Module, x: Tensor, rule: object
) -> None:
    net = Guard(network, Card("steep", backward={"transform": rule}), transform=Steep())
    substitute = (lambda v: v) if rule is None else rule
    want = expected(lambda v: network(through(Steep()(v), substitute(v))), x)
    for recipe in (threats.adaptive(), threats.white_box(bpda={"transform": rule})):
        logits, g = asked(recipe, net, x)
        assert torch.equal(logits, net(x))
        torch.testing.assert_close(g, want)
    logits, g = asked(threats.white_box(), net, x)
    assert torch.equal(logits, net(x))
    assert (g == 0).all()  # without the rule there is nothing to follow


def test_the_rule_is_in_force_during_gradients_only(network: nn.Module, x: Tensor) -> None:
    net = Guard(network, Card("steep", backward={"transform": None}), transform=Steep())
    asked(threats.adaptive(), net, x)
    assert not any(part._forward_hooks for part in net.modules())
    assert (expected(net, x) == 0).all()


def test_a_module_under_two_names_gets_its_rule_once(network: nn.Module, x: Tensor) -> None:
    steep = Steep()
    net = Guard(network, Card("steep", backward={"transform": square, "again": square}), transform=steep, again=steep)
    bound = threats.adaptive().bind(net, levels=None)
    assert dict(bound.backward) == {steep: square}
    net.order = ["transform"]
    want = expected(lambda v: network(through(Steep()(v), square(v))), x)
    torch.testing.assert_close(asked(threats.adaptive(), net, x)[1], want)


def test_a_module_used_twice_gets_its_rule_at_both_uses(network: nn.Module, x: Tensor) -> None:
    steep = Steep()
    net = Guard(network, Card("steep", backward={"transform": square}), transform=steep)
    net.order = ["transform", "transform"]

    def twice(v: Tensor) -> Tensor:
        once = through(Steep()(v), square(v))
        return network(through(Steep()(once), square(once)))

    logits, g = asked(threats.adaptive(), net, x)
    torch.testing.assert_close(g, expected(twice, x))
    assert torch.equal(logits, net(x))


def test_every_card_of_a_stack_is_followed_and_the_outer_one_first(network: nn.Module, x: Tensor) -> None:
    inner = Guard(network, Card("inner", backward={"transform": None}, draws=3), transform=Steep())
    net = Guard(
        inner, Card("outer", backward={"transform": square, "inner.transform": square}, draws=2), transform=Steep()
    )
    bound = threats.adaptive().bind(net, levels=None)
    assert dict(bound.backward) == {net.transform: square, inner.transform: square}
    assert bound.draws == 3
    assert threats.adaptive(eot=1).bind(net, levels=None).draws == 1
    assert threats.adaptive().bind(network, levels=None).draws == 1
    assert not threats.adaptive().bind(network, levels=None).backward


class Binarised(nn.Module):
    """A layer that an edit has put inside a network, with a card of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.card = Card("binarised", backward={"": torch.tanh}, draws=2)

    def forward(self, v: Tensor) -> Tensor:
        return v.sign()


def test_the_rule_of_a_module_inside_a_network_is_that_modules_own(x: Tensor) -> None:
    with seeded("tests", "adaptive"):
        first, last = (nn.Linear(5, 5).double().requires_grad_(False) for _ in range(2))
    edited = Binarised()
    network = nn.Sequential(first, nn.Sequential(edited), last)
    assert prescription(network) == ({edited: torch.tanh}, 2)
    want = expected(lambda v: last(through(first(v).sign(), torch.tanh(first(v)))), x)
    for net in (network, Guard(network, Card("outer"))):
        logits, g = asked(threats.adaptive(eot=1), net, x)
        assert torch.equal(logits, network(x))
        torch.testing.assert_close(g, want)
        assert (asked(threats.white_box(), net, x)[1] == 0).all()
    assert rules_of(network, {"": torch.tanh, "1.0": None}) == {network: torch.tanh, edited: None}


def test_an_outer_card_may_name_a_module_that_has_a_rule_of_its_own(network: nn.Module, x: Tensor) -> None:
    edited = Binarised()
    net = Guard(nn.Sequential(edited, network), Card("outer", backward={"inner.0": square}))
    assert prescription(net)[0] == {edited: square}
    want = expected(lambda v: network(through(v.sign(), square(v))), x)
    torch.testing.assert_close(asked(threats.adaptive(eot=1), net, x)[1], want)


def test_the_gradient_of_eot_is_the_mean_over_fresh_draws(network: nn.Module, x: Tensor) -> None:
    factor = Factor()
    net = Guard(network, Card("factor", random=True, draws=5), transform=factor)
    oracle = Oracle.open(threats.adaptive().bind(net, levels=None), x, torch.zeros(6, dtype=torch.int64))
    factor.factors.clear()
    logits, (g,) = oracle.gradient(x, gap)
    assert len(factor.factors) == 5
    assert len({float(f[0]) for f in factor.factors}) == 5
    want = torch.stack([expected(lambda v, f=f: network(v * f), x) for f in factor.factors]).mean(0)
    torch.testing.assert_close(g, want)
    torch.testing.assert_close(logits, torch.stack([network(x * f) for f in factor.factors]).mean(0))
    assert (oracle.forwards == 5).all()


def test_names_that_do_not_exist_are_refused_in_one_line(network: nn.Module) -> None:
    for call in (
        lambda: threats.white_box(bpda="nowhere").bind(network, levels=None),
        lambda: threats.adaptive().bind(Guard(network, Card("bad", backward={"nowhere": None})), levels=None),
        lambda: threats.white_box(draws=0).bind(network, levels=None),
    ):
        with pytest.raises(ContractError) as error:
            call()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "call", [lambda: prescription(1), lambda: prescription(Steep(), identity=1), lambda: threats.members(1)]
)
def test_what_is_no_network_has_no_prescription(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ContractError, match=r"expected \w+ of \w+ as .*, got"):
        call()
