"""Gradients that are not finite: zero before anything is averaged, and counted for each image."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vauban.core.goals import ResolvedGoal
from vauban.core.losses import margin
from vauban.engine import BoundThreat, Oracle

X = torch.tensor([[0.0, 0.2, 0.6], [0.4, 0.2, 0.6]])  # one black pixel, in the first image
Y = torch.tensor([0, 0])


class Rooted(nn.Module):
    """Logits (0, sqrt(x_1) + 3 x_2 - x_3): infinite slope where the first pixel is black."""

    def forward(self, x: Tensor) -> Tensor:
        value = x[:, 0].sqrt() + 3 * x[:, 1] - x[:, 2]
        return torch.stack([torch.zeros_like(value), value], 1)


class Straight(nn.Module):
    """Logits (0, x_1 + x_2 + x_3)."""

    def forward(self, x: Tensor) -> Tensor:
        value = x.sum(1)
        return torch.stack([torch.zeros_like(value), value], 1)


def difference(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    return logits[:, 1] - logits[:, 0]


def opened(net: nn.Module, **options: object) -> Oracle:
    return Oracle.open(BoundThreat(net, levels=None, **options), X, Y)  # type: ignore[arg-type]


SLOPE = torch.tensor([[0.0, 3.0, -1.0], [0.5 / 0.4**0.5, 3.0, -1.0]])


def test_a_component_that_is_not_finite_is_zero_and_the_others_stay() -> None:
    oracle = opened(Rooted())
    _, (g, h) = oracle.gradient(X, difference, margin)
    torch.testing.assert_close(g, SLOPE)
    torch.testing.assert_close(h, SLOPE)
    assert oracle.pass_count.nonfinite_gradients.tolist() == [2, 0]  # one for each loss
    assert oracle.pass_count.vanished.tolist() == [0, 0]
    oracle.rows(torch.tensor([0])).gradient(X[:1], difference)
    assert oracle.pass_count.nonfinite_gradients.tolist() == [3, 0]


def test_a_jacobian_too() -> None:
    oracle = opened(Rooted())
    _, g = oracle.jacobian(X, torch.tensor([[0, 1], [0, 1]]))
    torch.testing.assert_close(g, torch.stack([torch.zeros_like(SLOPE), SLOPE], 1))
    assert oracle.pass_count.nonfinite_gradients.tolist() == [2, 0]  # autograd makes 0 x infinity, NaN, of the first


def test_zero_before_draws_and_networks_are_averaged() -> None:
    mean = opened(Rooted(), sources=((Rooted(), 0.5), (Straight(), 0.5)), draws=2)
    _, (g,) = mean.gradient(X, difference)
    torch.testing.assert_close(g, (SLOPE + 1) / 2)
    assert mean.pass_count.nonfinite_gradients.tolist() == [2, 0]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_every_kind(bad: float) -> None:
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, *grad: Tensor) -> Tensor:
            g = grad[0].clone()
            g[0, 1] = bad
            return g

    class Net(Straight):
        def forward(self, x: Tensor) -> Tensor:
            apply: Callable[[Tensor], Tensor] = Bad.apply
            return super().forward(apply(x))

    oracle = opened(Net())
    _, (g,) = oracle.gradient(X, difference)
    assert torch.equal(g, torch.tensor([[1.0, 0, 1], [1, 1, 1]]))
    assert oracle.pass_count.nonfinite_gradients.tolist() == [1, 0]


def test_an_image_whose_whole_gradient_is_not_finite_counts_as_vanished_too() -> None:
    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            value = x.sum(1) + (x.sum(1) - x.sum(1).detach()).sqrt()
            return torch.stack([torch.zeros_like(value), value], 1)

    oracle = opened(Nothing())
    _, (g,) = oracle.gradient(X, difference)
    assert not g.any()
    assert oracle.pass_count.nonfinite_gradients.tolist() == oracle.pass_count.vanished.tolist() == [1, 1]
