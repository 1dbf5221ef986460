"""Additive Gaussian noise before the network (Folz et al. 2018, arXiv:1803.07994, section 4.1.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.defences.base import NoiseDefence, check_positive, register


@register("gaussian-noise")
@dataclass(frozen=True)
class GaussianNoise(NoiseDefence):
    """x + sigma n, n standard normal per component, clipped to [0,1].

    Images or vectors; sigma in pixel units. One draw per call; randomised smoothing (Cohen, Rosenfeld, Kolter 2019,
    arXiv:1902.02918) votes over many and does not clip. Raises ContractError unless 0 < sigma <= 1.
    """

    reference = "Folz, Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994"
    sigma: float = 0.1

    def __post_init__(self) -> None:
        check_positive("sigma", self.sigma, 1)

    def noise(self, x: Tensor) -> Tensor:
        return self.sigma * torch.randn_like(x)
