"""A small network on images of two flat regions, and smoothing as a dense matrix."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn


def neighbours(x: Tensor, rate: float) -> Tensor:
    """W of one image `(channel, height, width)`, pair by pair: exp(-rate ||x_i - x_j||^2) between the four neighbours."""
    height, width = x.shape[1:]
    w = torch.zeros(height * width, height * width, dtype=x.dtype)
    for i in range(height * width):
        for j in range(height * width):
            if abs(i // width - j // width) + abs(i % width - j % width) == 1:
                gap = x[:, i // width, i % width] - x[:, j // width, j % width]
                w[i, j] = (-rate * gap.square().sum()).exp()
    return w


@pytest.fixture
def net() -> nn.Module:
    g = torch.Generator().manual_seed(5)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(36, 16, dtype=torch.float64), nn.Tanh(), nn.Linear(16, 4, dtype=torch.float64)
    )
    for p in net.requires_grad_(False).parameters():
        p.copy_(torch.randn(p.shape, generator=g, dtype=p.dtype) / 2)
    return net


@pytest.fixture
def halves() -> Tensor:
    """Four images 6 x 6, the left half dark, the right half light."""
    x = torch.full((4, 1, 6, 6), 0.3, dtype=torch.float64)
    x[..., 3:] = 0.7
    return x + 0.02 * torch.arange(4.0, dtype=torch.float64).view(4, 1, 1, 1)


@pytest.fixture
def rough() -> Tensor:
    """Two images 6 x 6 of random pixels, some at 0 and some at 1."""
    g = torch.Generator().manual_seed(9)
    return (1.2 * torch.rand(2, 1, 6, 6, generator=g, dtype=torch.float64) - 0.1).clamp(0, 1)


@pytest.fixture
def dense():
    """(W, smoothing matrix) of one image."""

    def made(x: Tensor, alpha: float, rate: float) -> tuple[Tensor, Tensor]:
        w = neighbours(x, rate)
        d = w.sum(1)
        laplacian = (torch.eye(len(d), dtype=x.dtype) - alpha * w / (d[:, None] * d[None]).sqrt()) / (1 - alpha)
        inverse = torch.linalg.inv(laplacian)
        return w, inverse / inverse.sum(1, keepdim=True)

    return made
