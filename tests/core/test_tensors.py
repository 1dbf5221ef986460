"""Per-sample broadcasting, and rows of nested states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from vauban.core.norms import Ball, Linf
from vauban.core.tensors import dot, flat, like, take, unit, where


class Moments(NamedTuple):
    m: Tensor
    v: Tensor


@dataclass(frozen=True)
class Inner:
    a: Tensor
    label: str = "kept"


@dataclass(frozen=True)
class State:
    x: Tensor
    inner: Inner
    pair: tuple[Tensor, None, int]
    moments: Moments
    ball: Ball
    nothing: None = None


@pytest.mark.parametrize("index", [torch.tensor([True, False, True]), torch.tensor([2, 0])])
def test_take_on_a_nested_state(index: Tensor) -> None:
    x = torch.arange(6.0).view(3, 2)
    state = State(x, Inner(x[:, 0]), (x + 1, None, 7), Moments(x + 2, x + 3), Linf(torch.tensor([0.1, 0.2, 0.3])))
    part = take(state, index)
    assert torch.equal(part.x, x[index])
    assert torch.equal(part.inner.a, x[index, 0])
    assert part.inner.label == "kept"
    assert torch.equal(part.pair[0], x[index] + 1)
    assert part.pair[1:] == (None, 7)
    assert isinstance(part.moments, Moments)
    assert torch.equal(part.moments.v, x[index] + 3)
    assert part.ball.norm is Linf
    assert torch.equal(part.ball.radius, torch.tensor([0.1, 0.2, 0.3])[index])
    assert part.nothing is None


def test_broadcasting() -> None:
    x = torch.arange(24.0).view(2, 3, 4)
    s = torch.tensor([2.0, 3.0])
    assert torch.equal(like(s, x) * x, torch.stack([2 * x[0], 3 * x[1]]))
    assert torch.equal(dot(x, x), (x**2).sum((1, 2)))
    assert flat(x).shape == (2, 12)
    assert torch.equal(where(torch.tensor([True, False]), x, -x), torch.stack([x[0], -x[1]]))


@pytest.mark.parametrize("p", [1, 2, float("inf")])
@pytest.mark.parametrize("scale", [1e-38, 1e-25, 1.0, 1e25])
def test_unit_vectors(p: float, scale: float) -> None:
    v = torch.tensor([[1.0, -2.0, 2.0], [0.0, 0.0, 0.0]]) * scale
    want = torch.tensor([1.0, -2.0, 2.0]) / torch.tensor([1.0, -2.0, 2.0]).norm(p)
    torch.testing.assert_close(unit(v, p), torch.stack([want, torch.zeros(3)]))
