"""Networks of the demonstration: nearest class means of the digits, of all images or of some."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vauban.data.digits import pixels_and_labels


class Means(nn.Module):
    """Logits scale (x . m_k - |m_k|^2 / 2) with the mean m_k of every `every`-th training image of class k."""

    def __init__(self, scale: float = 20.0, every: int = 1) -> None:
        super().__init__()
        x, y = pixels_and_labels("train")
        flat = x.flatten(1).float() / 255
        self.register_buffer("means", torch.stack([flat[y == k][::every].mean(0) for k in range(10)]))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x.flatten(1) @ self.means.T - self.means.square().sum(1) / 2)


class FitWorker(nn.Module):
    """One dense layer on digits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x.flatten(1))
        return logits
