"""Stochastic activation pruning: what survives, its mean, the gradient of a draw, and which layers are pruned."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vauban.core.errors import ContractError, UnknownName
from vauban.core.rng import seeded
from vauban.defences import StochasticActivationPruning, chain, load
from vauban.defences.architecture.activation_pruning import Pruning

H = torch.tensor([[1.0, 2.0, 0.0, 5.0], [-3.0, 1.0, 1.0, 1.0]], dtype=torch.float64)


def expected_scales(draws: int) -> torch.Tensor:
    p = H.abs() / H.abs().sum(1, keepdim=True)
    return 1 / (1 - (1 - p) ** draws)


def test_survivors_are_scaled_and_the_mean_is_the_map() -> None:
    with seeded("tests", "pruning"):
        pruned = torch.stack([Pruning(0.5)(H) for _ in range(6000)])
    alive = pruned != 0
    torch.testing.assert_close(pruned[alive], (H * expected_scales(2)).expand_as(pruned)[alive])
    torch.testing.assert_close(pruned.mean(0), H, atol=0.2, rtol=0)
    torch.testing.assert_close(alive.double().mean(0)[H != 0], 1 / expected_scales(2)[H != 0], atol=0.03, rtol=0)
    assert (alive.sum(2) <= 2).all()


def test_the_gradient_is_that_of_the_scaled_map_for_the_draw() -> None:
    z = H.clone().requires_grad_()
    with seeded("tests", "draw"):
        Pruning(1.0)(z)[1].sum().backward()
    with seeded("tests", "draw"):
        alive = Pruning(1.0)(H)[1] != 0

    def scaled(h: torch.Tensor) -> torch.Tensor:
        p = h.abs() / h.abs().sum()
        return (h / (1 - (1 - p) ** 4))[alive].sum()

    expected = torch.func.grad(scaled)(H[1])
    assert 0 < alive.sum() < 4
    torch.testing.assert_close(z.grad[1], expected)  # type: ignore[index]


def test_a_map_of_zeros_stays_and_many_draws_leave_all() -> None:
    assert torch.equal(Pruning(1.0)(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))
    torch.testing.assert_close(Pruning(100.0)(H + 1), H + 1, atol=1e-4, rtol=1e-4)
    one = torch.tensor([[0.0, 3.0]])
    assert torch.equal(Pruning(1.0)(one), one)


def test_every_activation_or_the_named_layer_is_pruned_and_the_network_stays() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.LeakyReLU(), nn.Linear(6, 3))
    x = torch.rand(5, 4)
    before = net(x)

    def count(guarded: nn.Module) -> int:
        return sum(isinstance(part, Pruning) for part in guarded.changed.modules())  # type: ignore[union-attr, operator]

    assert count(StochasticActivationPruning().wrap(net)) == 2
    assert count(load("stochastic-activation-pruning:layer=2,share=0.5").wrap(net)) == 1
    both = chain(StochasticActivationPruning(1, 0.5), StochasticActivationPruning(3, 0.5)).wrap(net)
    with seeded("tests", 0):
        one = both(x)
    with seeded("tests", 1):
        assert not torch.equal(one, both(x))
    assert torch.equal(net(x), before)


def test_what_cannot_be_pruned_is_refused() -> None:
    with pytest.raises(ContractError, match="expected activations that are modules"):
        StochasticActivationPruning().wrap(nn.Linear(3, 3))
    with pytest.raises(UnknownName, match="nothing"):
        StochasticActivationPruning("nothing").wrap(nn.Sequential(nn.ReLU()))
