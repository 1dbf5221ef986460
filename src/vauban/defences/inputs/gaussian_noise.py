"""Additive Gaussian noise before the network (Folz et al. 2018, arXiv:1803.07994, section 4.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from vauban.core.parameters import Range
from vauban.defences.base import NoiseDefence, register


@register("gaussian-noise")
@dataclass(frozen=True)
class GaussianNoise(NoiseDefence):
    """x + sigma n, n standard normal per component, clipped to [0,1].

    Images or vectors. One draw per call; randomised smoothing (Cohen, Rosenfeld, Kolter 2019, arXiv:1902.02918) votes over
    many and does not clip. Folz, Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994, section 4.1.1.

    Attributes:
        sigma: Standard deviation of the noise in pixel units.

    Raises:
        ContractError: sigma outside its range.
    """

    reference = "Folz, Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994"
    sigma: Annotated[float, Range(0, 1, open_low=True)] = 0.1

    def noise(self, x: Tensor) -> Tensor:
        return self.sigma * torch.randn_like(x)
