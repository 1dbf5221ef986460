"""Linear classifiers, on which the smallest perturbation is known."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from vauban.core.norms import Norm

DUAL = {"l2": 2.0, "linf": 1.0, "l1": float("inf")}


@dataclass(frozen=True)
class Linear:
    net: nn.Module
    x: Tensor
    y: Tensor

    def nearest(self, norm: Norm) -> Tensor:
        """min over k of (z_y - z_k) / ||w_y - w_k||_q, the exact distance while no pixel reaches 0 or 1."""
        w = self.net[1].weight  # type: ignore[index]
        z = self.net(self.x)
        gap = z.gather(1, self.y[:, None]) - z
        length = torch.linalg.vector_norm(w[self.y][:, None] - w[None], DUAL[norm.name], dim=2)
        return torch.where(length > 0, gap / length, torch.inf).amin(1)


def linear(classes: int, push: float, side: int = 8, batch: int = 12, dtype: torch.dtype = torch.float32) -> Linear:
    """Ten times unit-norm random weights; images at `push` along the weight of their class from the middle grey."""
    g = torch.Generator().manual_seed(7)
    n = side * side
    w = nn.functional.normalize(torch.randn(classes, n, generator=g, dtype=dtype))
    net = nn.Sequential(nn.Flatten(), nn.Linear(n, classes, dtype=dtype)).requires_grad_(False)
    net[1].weight.copy_(10 * w)
    net[1].bias.copy_(-5 * w.sum(1))
    y = torch.arange(batch) % classes
    x = 0.5 + push * (0.7 + 0.6 * torch.rand(batch, 1, generator=g, dtype=dtype)) * w[y]
    x = x + 0.01 * torch.randn(batch, n, generator=g, dtype=dtype)
    x = x.clamp(0.05, 0.95).view(batch, 1, side, side)
    assert torch.equal(net(x).argmax(1), y)
    return Linear(net, x, y)


@pytest.fixture
def make_linear():
    return linear
