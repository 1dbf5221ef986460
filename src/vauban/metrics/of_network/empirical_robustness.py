"""Empirical robustness: the relative size of the change with which an attack fools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.norms import L2
from vauban.metrics import network_registry
from vauban.metrics.of_network.base import MeasuredBatch, NetworkMetric


@network_registry.register("empirical-robustness")
@dataclass(frozen=True)
class EmpiricalRobustness(NetworkMetric):
    """Empirical robustness: ||x' - x||_2 / ||x||_2 of the attack's image x', over the images that it fools.

    Zantedeschi, Nicolae and Rawat 2017 (arXiv:1707.06728), Eq. (2), with `incremental-fgsm` as the attack; the norm of the
    change, which Eq. (2) leaves out, is L2 as in its text. An image that is not fooled has no value, and the share of those
    that have one stands beside the mean; nor have images that are wrong already, or black. What a weak attack needs is not
    what is needed: measure it with `ddn` too.
    """

    direction: ClassVar[Literal["lower", "higher", ""]] = "higher"

    @property
    def attacked(self) -> bool:
        return True

    def values(self, given: MeasuredBatch) -> Tensor:
        x = given.batch.x.double()
        change, whole = L2.size(given.image.double() - x), L2.size(x)
        if given.fooled is None:
            raise ContractError("expected images of an attack for empirical-robustness, got none; add attack='ddn'")
        return torch.where(given.fooled & (change > 0) & (whole > 0), change / whole, torch.nan)
