"""Entropy of the predicted distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from vauban.engine.network import predict, quiet
from vauban.metrics import network_registry
from vauban.metrics.of_network.base import MeasuredBatch, NetworkMetric


@network_registry.register("prediction-entropy")
@dataclass(frozen=True)
class PredictionEntropy(NetworkMetric):
    """Prediction entropy: -sum_k p_k log p_k, p the softmax of the logits, on the attack's image where there is one.

    0 for a sure answer, log of the number of classes for a uniform one.
    """

    unit: ClassVar[str] = "nat"

    def values(self, given: MeasuredBatch) -> Tensor:
        with quiet(list(given.network.modules())):
            logs = predict(given.network, given.image).double().log_softmax(1)
        return -(logs.exp() * logs).nan_to_num(0.0).sum(1).where(~logs.isnan().any(1), float("nan"))
