"""JPEG at a random quality: Dziugaite et al. 2016, arXiv:1608.00853; EOT over it: Athalye et al., arXiv:1707.07397."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vauban.core.cards import Backward, Defended, in_training
from vauban.core.errors import ContractError
from vauban.defences.base import InputDefence, check_module, register
from vauban.defences.inputs.jpeg import JPEG, DifferentiableJPEG, Quality


class JPEGCodec(nn.Module):
    """The codec at the quality it is called with; BPDA's substitute is called with the same."""

    def forward(self, x: Tensor, quality: int) -> Tensor:
        return JPEG(quality).apply(x)


class RandomQualityJPEG(Defended):
    """inner(JPEG(x, quality)), the quality drawn anew for every call."""

    def __init__(self, inner: nn.Module, defence: RandomJPEG) -> None:
        super().__init__(inner, defence.card)
        self.defence, self.codec = defence, JPEGCodec()
        self.training = self.codec.training = in_training(inner)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(self.codec(x, self.defence.draw()))
        return logits

    def extra_repr(self) -> str:
        return self.defence.name


@register("random-jpeg")
@dataclass(frozen=True)
class RandomJPEG(InputDefence):
    """`JPEG` at a quality that is uniform on the whole numbers low ... high, one draw for each call and its whole batch.

    The draw is from torch's global generator, which the oracle forks and seeds. Images (batch, 1 or 3, height, width) in
    [0,1]. The adaptive attack averages the gradients of `DifferentiableJPEG`, at the quality the codec has just used, over
    8 draws (EOT). Dziugaite, Ghahramani, Roy 2016, arXiv:1608.00853.

    Attributes:
        low, high: The least and the largest quality factor of libjpeg.

    Raises:
        ContractError: A quality outside its range, low above high, or another number of channels.
        MissingExtra: A gradient without kornia.
    """

    reference = "Dziugaite, Ghahramani, Roy 2016, arXiv:1608.00853"
    random: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    draws: ClassVar[int] = 8
    operation: ClassVar[str] = "codec"
    low: Quality = 20
    high: Quality = 90

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise ContractError(f"expected low <= high, got {self.low} and {self.high}")

    def draw(self) -> int:
        """One quality."""
        return int(torch.randint(self.low, self.high + 1, ()))

    def apply(self, x: Tensor) -> Tensor:
        return JPEG(self.draw()).apply(x)

    @property
    def substitute(self) -> Backward:
        """`DifferentiableJPEG`, which the codec calls with the quality of the draw."""
        return DifferentiableJPEG()

    def wrap(self, module: nn.Module) -> nn.Module:
        return RandomQualityJPEG(check_module(module), self)
