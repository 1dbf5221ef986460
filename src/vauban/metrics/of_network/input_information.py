"""Information that is left of an image in what a network is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vauban.engine.network import quiet
from vauban.metrics import network_registry
from vauban.metrics.mutual_information import BINS, Bins, nmi
from vauban.metrics.of_network.base import MeasuredBatch, NetworkMetric
from vauban.metrics.of_network.shown_image import ShownImage


@network_registry.register("input-information")
@dataclass(frozen=True)
class InputInformation(NetworkMetric):
    """Input information: the normalised mutual information of the image and of what the network is shown of it.

    `nmi` of x and T(x), T the defences before the network; 1 without any. On the attack's image where there is one. Folz,
    Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994, section 3.1.

    Attributes:
        bins: Intervals of the histogram.

    Raises:
        ContractError: bins outside its range; when measured, defences that show the network no image, or several.
    """

    direction: ClassVar[Literal["lower", "higher", ""]] = ""
    bins: Bins = BINS

    def values(self, given: MeasuredBatch) -> Tensor:
        with quiet(list(given.network.modules())), torch.no_grad():
            shown = ShownImage(given.network)(given.image)
        left: Tensor = nmi(given.image.flatten(1), shown.clamp(0, 1), bins=self.bins)
        return left
