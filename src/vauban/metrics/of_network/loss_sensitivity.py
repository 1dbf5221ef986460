"""Loss sensitivity: the length of the loss' gradient in the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.norms import L2
from vauban.engine.network import differentiate, quiet
from vauban.metrics import network_registry
from vauban.metrics.of_network.base import MeasuredBatch, NetworkMetric


@network_registry.register("loss-sensitivity")
@dataclass(frozen=True)
class LossSensitivity(NetworkMetric):
    """Loss sensitivity: ||dJ(x, y)/dx||_2 of the cross-entropy J, averaged over the images.

    Zantedeschi, Nicolae and Rawat 2017 (arXiv:1707.06728), section 4.4, after Arpit et al. 2017 (arXiv:1706.05394). It is
    the network's own gradient: 0 behind an operation that masks it, NaN where it is not finite.
    """

    unit: ClassVar[str] = "1 / pixel unit"
    direction: ClassVar[Literal["lower", "higher", ""]] = "lower"

    def values(self, given: MeasuredBatch) -> Tensor:
        x, y = given.batch.x, given.batch.y
        with quiet(list(given.network.modules())):
            entropy = [lambda z: F.cross_entropy(z, y, reduction="none")]
            _, _, (g,), nonfinite = differentiate(given.network, x, entropy)
        return L2.size(g.double()).where(nonfinite == 0, torch.nan)
