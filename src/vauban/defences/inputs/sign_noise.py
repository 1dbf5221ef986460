"""Additive sign noise before the network (Folz et al. 2018, arXiv:1803.07994, section 4.1.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.defences.base import NoiseDefence, check_positive, register


@register("sign-noise")
@dataclass(frozen=True)
class SignNoise(NoiseDefence):
    """x + eps s, s = -1 or 1 with equal probability per component, clipped to [0,1].

    Images or vectors; eps in pixel units. Raises ContractError unless 0 < eps <= 1.
    """

    reference = "Folz, Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994"
    eps: float = 8 / 255

    def __post_init__(self) -> None:
        check_positive("eps", self.eps, 1)

    def noise(self, x: Tensor) -> Tensor:
        return self.eps * (2 * torch.randint_like(x, 2) - 1)
