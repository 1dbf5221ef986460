"""Additive sign noise before the network (Folz et al. 2018, arXiv:1803.07994, section 4.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from vauban.core.parameters import Range
from vauban.defences.base import NoiseDefence, register


@register("sign-noise")
@dataclass(frozen=True)
class SignNoise(NoiseDefence):
    """x + eps s, s = -1 or 1 with equal probability per component, clipped to [0,1].

    Images or vectors. Folz, Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994, section 4.1.1.

    Attributes:
        eps: Size of the noise in pixel units.

    Raises:
        ContractError: eps outside its range.
    """

    reference = "Folz, Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994"
    eps: Annotated[float, Range(0, 1, open_low=True)] = 8 / 255

    def noise(self, x: Tensor) -> Tensor:
        return self.eps * (2 * torch.randint_like(x, 2) - 1)
