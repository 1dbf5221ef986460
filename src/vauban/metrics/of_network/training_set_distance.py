"""Distance of images to the nearest of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.parameters import Count
from vauban.data import Dataset
from vauban.metrics import network_registry
from vauban.metrics.of_network.base import MeasuredBatch, NetworkMetric


@network_registry.register("training-set-distance", words={"data": "data"})
@dataclass(frozen=True)
class TrainingSetDistance(NetworkMetric):
    """Training-set distance: min over training images t of ||x' - t||_2, x' the attack's image, over those that fool.

    Without an attack, of every image itself.

    Exact, in blocks of the training set: squared distances by ||x||^2 + ||t||^2 - 2 x t in float64, and the nearest one
    again by its difference. Zantedeschi, Nicolae and Rawat 2017 (arXiv:1707.06728), section 4.2.

    Attributes:
        data: The training images.
        block: How many of them are compared at a time.

    Raises:
        ContractError: When measured: images of another shape.
    """

    unit: ClassVar[str] = "pixel units"
    direction: ClassVar[Literal["lower", "higher", ""]] = "higher"
    data: Dataset
    block: Count = 4096

    def values(self, given: MeasuredBatch) -> Tensor:
        if self.data.shape != tuple(given.batch.x.shape[1:]):
            raise ContractError(
                f"expected training images of the shape {tuple(given.batch.x.shape[1:])}, got {self.data.shape}; "
                "name the data that the network was trained on"
            )
        x = given.image.double().flatten(1)
        least = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
        for batch in self.data.batches(self.block, x.device):
            least = torch.minimum(least, nearest(x, batch.x.double().flatten(1)))
        return least if given.fooled is None else least.where(given.fooled, torch.nan)


def nearest(x: Tensor, others: Tensor) -> Tensor:
    """Euclidean distance of each row of x `(n, d)` to the nearest row of others `(m, d)`, float64 `(n,)`."""
    squared = others.square().sum(1)[None] - 2 * x @ others.T  # without ||x||^2, which is the same for all
    distance: Tensor = torch.linalg.vector_norm(x - others[squared.argmin(1)], dim=1)
    return distance
