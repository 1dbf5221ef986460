"""Local Lipschitz constant of the logits, estimated from below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vauban.core.norms import L2
from vauban.core.parameters import Count, Positive
from vauban.core.tensors import like
from vauban.engine.network import differentiate, predict, quiet
from vauban.metrics import network_registry
from vauban.metrics.of_network.base import MeasuredBatch, NetworkMetric


@network_registry.register("local-lipschitz")
@dataclass(frozen=True)
class LocalLipschitz(NetworkMetric):
    """Local Lipschitz estimate: the largest ||z(x + d) - z(x)||_2 / ||d||_2 that is met on the sphere ||d||_2 = radius.

    d goes to radius g / ||g||_2, g the gradient of ||z(x + d) - z(x)||_2^2 in d, from a random direction; for a linear map
    that is the power iteration of its largest singular value. An estimate from below: the constant is at least so large.
    x + d may leave [0,1].

    Attributes:
        radius: Length of d, pixel units of [0,1].
        steps: Gradients.
    """

    unit: ClassVar[str] = "logits / pixel unit"
    direction: ClassVar[Literal["lower", "higher", ""]] = "lower"
    radius: Positive = 0.1
    steps: Count = 20

    def values(self, given: MeasuredBatch) -> Tensor:
        x, largest = given.batch.x, torch.zeros(len(given.batch), dtype=torch.float64, device=given.batch.x.device)
        with quiet(list(given.network.modules())):
            before = predict(given.network, x)
            d = self._long(given.rng.normal("direction", tuple(x.shape[1:]), dtype=x.dtype))
            for _ in range(self.steps):
                squared = [lambda z: (z - before).square().sum(1)]
                logits, _, (g,), _ = differentiate(given.network, x + d, squared)
                ratio = (logits - before).double().norm(dim=1) / L2.size(d.double())
                largest = torch.maximum(largest, ratio)
                d = torch.where(like(L2.size(g) > 0, g), self._long(g), d)
            ratio = (predict(given.network, x + d) - before).double().norm(dim=1) / L2.size(d.double())
        return torch.maximum(largest, ratio)

    def _long(self, direction: Tensor) -> Tensor:
        return self.radius * L2.steepest(direction)
