"""Additive uniform noise before the network (Folz et al. 2018, arXiv:1803.07994, section 4.1.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.defences.base import NoiseDefence, check_positive, register


@register("uniform-noise")
@dataclass(frozen=True)
class UniformNoise(NoiseDefence):
    """x + u, u uniform on [-width, width) per component, clipped to [0,1].

    Images or vectors; width in pixel units; the standard deviation is width / sqrt(3). Raises ContractError
    unless 0 < width <= 1.
    """

    reference = "Folz, Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994"
    width: float = 0.1

    def __post_init__(self) -> None:
        check_positive("width", self.width, 1)

    def noise(self, x: Tensor) -> Tensor:
        return self.width * (2 * torch.rand_like(x) - 1)
