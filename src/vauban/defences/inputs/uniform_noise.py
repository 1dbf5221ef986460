"""Additive uniform noise before the network (Folz et al. 2018, arXiv:1803.07994, section 4.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from vauban.core.parameters import Range
from vauban.defences.base import NoiseDefence, register


@register("uniform-noise")
@dataclass(frozen=True)
class UniformNoise(NoiseDefence):
    """x + u, u uniform on [-width, width) per component, clipped to [0,1].

    Images or vectors. The standard deviation of the noise is width / sqrt(3). Folz, Palacio, Hees, Borth, Dengel 2018,
    arXiv:1803.07994, section 4.1.1.

    Attributes:
        width: Largest size of the noise in pixel units.

    Raises:
        ContractError: width outside its range.
    """

    reference = "Folz, Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994"
    width: Annotated[float, Range(0, 1, open_low=True)] = 0.1

    def noise(self, x: Tensor) -> Tensor:
        return self.width * (2 * torch.rand_like(x) - 1)
