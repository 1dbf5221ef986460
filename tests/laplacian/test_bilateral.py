"""The bilateral filter against a sum written pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.rng import Stream
from vauban.laplacian.bilateral import bilateral


def images(shape: tuple[int, ...], seed: int = 0, batch: int = 2) -> Tensor:
    return Stream(seed, torch.arange(batch)).uniform("x", shape, dtype=torch.float64)


def slow(x: Tensor, guide: Tensor, near: float, like: float) -> Tensor:
    out = torch.empty_like(x)
    _, _, height, width = x.shape
    cells = [(i, j) for i in range(height) for j in range(width)]
    for n in range(len(x)):
        for i, j in cells:
            total, found = 0.0, torch.zeros(x.shape[1], dtype=x.dtype)
            for k, m in cells:
                if (distance := math.hypot(i - k, j - m)) <= 3 * near:
                    unlike = float((guide[n, :, i, j] - guide[n, :, k, m]).norm())
                    weight = math.exp(-(distance**2) / (2 * near**2) - unlike**2 / (2 * like**2))
                    total += weight
                    found += weight * x[n, :, k, m]
            out[n, :, i, j] = found / total
    return out


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 5, 6), (3, 6, 4), (2, 1, 7), (1, 1, 1)])
@pytest.mark.parametrize(("near", "like"), [(0.5, 0.2), (1.0, 0.5), (5.0, 0.3)])
def test_against_the_sum(shape: tuple[int, int, int], near: float, like: float) -> None:
    x = images(shape)
    torch.testing.assert_close(bilateral(x, near, like), slow(x, x, near, like), atol=1e-12, rtol=0)
    guide = images((3, *shape[1:]), 1)
    torch.testing.assert_close(bilateral(x, near, like, guide), slow(x, guide, near, like), atol=1e-12, rtol=0)


def test_keeps_edges_and_constants() -> None:
    x = torch.zeros(1, 1, 6, 6)
    x[..., 3:] = 1
    torch.testing.assert_close(bilateral(x, 2.0, 0.1), x, atol=1e-6, rtol=0)
    flat = torch.full((2, 3, 9, 9), 0.1)
    assert torch.equal(bilateral(flat, 2.0, 0.1), flat)


def test_derivative_against_finite_differences() -> None:
    x = images((2, 4, 3), 2, batch=1).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda v: bilateral(v, 0.7, 0.3), (x,))


def test_bad_input() -> None:
    x = torch.zeros(1, 1, 4, 4)
    for arguments in [(x[0], 1.0, 1.0), (x, 0.0, 1.0), (x, 1.0, -1.0), (x, 1.0, 1.0, x[..., :3])]:
        with pytest.raises(ContractError):
            bilateral(*arguments)
