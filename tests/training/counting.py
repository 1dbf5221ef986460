"""A small network that counts, and images to train it on."""

from __future__ import annotations

import torch
from torch import nn

from vauban.core.contracts import Batch
from vauban.core.rng import seeded


class Counted(nn.Module):
    """A network with batch normalisation that counts the images it is shown and the backward passes through its logits."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        with seeded(0):
            self.net = nn.Sequential(
                nn.Flatten(), nn.Linear(32, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes)
            )
        self.forwards = self.backwards = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.forwards += len(x)
        logits = self.net(x)
        if logits.requires_grad:
            logits.register_hook(self._counted)
        return logits

    def _counted(self, g: torch.Tensor) -> None:
        self.backwards += len(g)


def images(n: int = 8) -> Batch:
    x = torch.rand(n, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    return Batch(x, torch.arange(n) % 3, torch.arange(n) * 5 + 1, None)


def linear(classes: int = 3) -> nn.Sequential:
    with seeded(1):
        return nn.Sequential(nn.Flatten(), nn.Linear(32, classes)).double()


def doubles(n: int = 6) -> Batch:
    batch = images(n)
    return Batch(batch.x.double(), batch.y, batch.ids, None)
