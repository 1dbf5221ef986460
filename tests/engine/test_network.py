"""How networks are called: modes, buffers, generators and weights are as before, BPDA changes gradients only."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from vauban.core.cards import Card, Defended, bare, carded
from vauban.core.losses import margin
from vauban.engine import BoundThreat, Oracle
from vauban.engine.network import differentiate, predict, quiet
from vauban.engine.rerouted import rerouted


class Rounding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 4).round() / 4


class Twice(nn.Module):
    """The same rounding module before and after a linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.round = Rounding()
        self.again = self.round
        self.linear = nn.Linear(3, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.linear(self.round(x)))


X = torch.tensor([[0.1, 0.55, 0.9], [0.3, 0.2, 0.7]])


def slope(net: nn.Module) -> Tensor:
    return differentiate(net, X, [lambda z: z[:, 0]])[2][0]


def test_bpda_with_the_identity() -> None:
    net = Twice()
    value = net(X)
    assert (slope(net) == 0).all()
    with rerouted({net.round: None}):
        torch.testing.assert_close(slope(net), net.linear.weight[0].detach().expand(2, -1))
        assert torch.equal(net(X), value)
    assert (slope(net) == 0).all()
    assert not net.round._forward_hooks


def test_bpda_with_a_substitute_and_after_an_error() -> None:
    net = nn.Sequential(Rounding(), nn.Linear(3, 2, bias=False))
    with rerouted({net[0]: lambda x: x.square()}):
        torch.testing.assert_close(slope(net), 2 * X * net[1].weight[0].detach())
    with pytest.raises(KeyError), rerouted({net[0]: None}):
        raise KeyError
    assert not net[0]._forward_hooks


def test_bpda_holds_for_gradients_and_not_for_queries() -> None:
    net = nn.Sequential(Rounding(), nn.Linear(3, 2))
    calls = []

    def rule(x: Tensor) -> Tensor:
        calls.append(len(x))
        return x

    oracle = Oracle.open(BoundThreat(net, backward={net[0]: rule}, levels=None), X, torch.zeros(2, dtype=torch.int64))
    oracle.scores(X)
    assert not calls
    logits, (g,) = oracle.gradient(X, margin)
    assert calls == [2]
    assert torch.equal(logits, net(X))
    assert g.abs().sum() > 0


def test_quiet_restores_every_mode_even_after_an_error() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3)))
    net[1].eval()
    net[2].training = False  # its children keep training: no call of train() could restore that
    before = [m.training for m in net.modules()]
    with quiet(list(net.modules())):
        assert not any(m.training for m in net.modules())
    with pytest.raises(KeyError), quiet(list(net.modules())):
        raise KeyError
    assert [m.training for m in net.modules()] == before


def test_buffers_weights_and_the_generator_are_untouched() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2)).train()
    net[0].weight.requires_grad_(False)
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    for random in (False, True):
        oracle = Oracle.open(BoundThreat(net, levels=None, random=random), X, torch.zeros(2, dtype=torch.int64))
        oracle.gradient(X, margin)
        oracle.scores(X)
        oracle.check(X)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert [p.requires_grad for p in net.parameters()] == [False, True, True, True, True, True]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(m.training for m in net.modules())


def test_dropout_is_off_at_the_door() -> None:
    net = nn.Sequential(nn.Dropout(0.9), nn.Linear(3, 2)).train()
    oracle = Oracle.open(BoundThreat(net, levels=None), X, torch.zeros(2, dtype=torch.int64))
    assert torch.equal(oracle.scores(X), net[1](X))


class Noisy(nn.Module):
    """A noisy surrogate: declared on its card."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.card = Card("noisy", random=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + torch.randn(len(x), 2)


def test_a_noisy_source_draws_under_a_seed_and_the_target_stays_deterministic() -> None:
    source, target = Noisy(), nn.Linear(3, 2)
    threat = BoundThreat(target, sources=((source, 1.0),), levels=None)
    assert threat.noisy
    assert not threat.randomised
    state = torch.get_rng_state()
    first, again = (
        Oracle.open(threat, X, torch.zeros(2, dtype=torch.int64), seed=3).gradient(X, margin)[0] for _ in range(2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, source.linear(X))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
def test_draws_average_the_gradient() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.zeros(len(x)), x.sum(1) * (1 + torch.randn(()))], 1)

    threat = BoundThreat(Scaled(), random=True, draws=2000, levels=None)
    _, (g,) = Oracle.open(threat, X, torch.zeros(2, dtype=torch.int64)).gradient(X, margin)
    torch.testing.assert_close(g, torch.ones_like(X), atol=0.1, rtol=0)


def test_several_losses_share_one_forward() -> None:
    net = nn.Linear(3, 4)
    calls = []
    net.register_forward_hook(lambda *a: calls.append(1))
    _, values, gradients, _ = differentiate(net, X, [lambda z: z[:, 0], lambda z: 2 * z[:, 1]])
    assert len(calls) == 1
    torch.testing.assert_close(gradients[1], 2 * net.weight[1].detach().expand(2, -1))
    torch.testing.assert_close(values[0], predict(net, X)[:, 0])


def test_cards() -> None:
    inner = nn.Linear(3, 2)
    a, b = Card("a", backward={"round": None}), Card("b", random=True)
    guarded = Defended(Defended(inner, b), a)
    assert [card.name for _, card in carded(guarded)] == ["a", "b"]
    assert bare(guarded) is inner
    assert a.not_differentiable == ("round",)
