"""Thermometer encoding of the image (Buckman, Roy, Raffel, Goodfellow 2018, ICLR): channels that count thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from vauban.core.cards import Card
from vauban.core.errors import ContractError
from vauban.core.parameters import Range
from vauban.core.surgery import replaced
from vauban.models.wrap import Normalised
from vauban.training import registry
from vauban.training.recipe import RecipePart

KIND = "thermometer"


def thresholds(levels: int, x: Tensor) -> Tensor:
    """0, 1/l, ..., (l - 1)/l in a shape that broadcasts over channels split in levels."""
    return (torch.arange(levels, dtype=x.dtype, device=x.device) / levels)[:, None, None]


def soft_thermometer(x: Tensor, *, levels: int) -> Tensor:
    """min(max(x - k/l, 0), 1), what BPDA differentiates in the place of the step x > k/l (arXiv:1802.00420, 5.2.1)."""
    return (x[:, :, None] - thresholds(levels, x)).clamp(0, 1).flatten(1, 2)


class Thermometer(nn.Module):
    """tau(x)_{ck} = 1 if x_c > k/l else 0, k = 0, ..., l - 1: `(batch, channel, ...)` -> `(batch, channel l, ...)`.

    Attributes:
        levels: Thresholds, l.
    """

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    @property
    def card(self) -> Card:
        """A step has no gradient."""
        rule = partial(soft_thermometer, levels=self.levels)
        return Card(KIND, backward={"": rule}, reference="Buckman, Roy, Raffel, Goodfellow 2018, ICLR")

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:
            raise ContractError(f"expected images (batch, channel, height, width) for {KIND}, got {tuple(x.shape)}")
        return (x[:, :, None] > thresholds(self.levels, x)).to(x.dtype).flatten(1, 2)

    def extra_repr(self) -> str:
        return f"levels={self.levels}"


@registry.register(KIND)
@dataclass(frozen=True)
class ThermometerEncoding(RecipePart):
    """Thermometer encoding: each channel becomes one per level, 1 where the pixel is above k/l, to train the network on.

    A `Thermometer` before the network, whose first convolution is made anew for its channels; a `Normalised` around the
    network is dropped, since a step is not moved by a scale. The other weights are shared; train it from the start. The
    encoding brings a card, whose backward rule (min(max(x - k/l, 0), 1)) the adaptive threat takes.

    Attributes:
        levels: Thresholds, l; the paper has 16.

    Raises:
        ContractError: When a network is edited: it does not begin with a convolution in one group.

    Departures: 'begins' is read as the first convolution in the order of `named_modules()`.
    """

    levels: Annotated[int, Range(2, 256)] = 16

    def edit(self, module: nn.Module) -> nn.Module:
        network = module.module if isinstance(module, Normalised) and not module.binary else module
        first = next((part for part in network.modules() if isinstance(part, nn.Conv2d)), None)
        if first is None or first.groups != 1:
            got = "none" if first is None else f"one in {first.groups} groups"
            raise ContractError(
                f"expected a convolution in one group that takes the image for {KIND}, got {got} in "
                f"{type(network).__name__}"
            )
        encoded = nn.Sequential(Thermometer(self.levels), replaced(network, first, self._widened(first)))
        encoded.training = module.training
        return encoded

    def _widened(self, first: nn.Conv2d) -> nn.Conv2d:
        """A convolution of the same geometry for all levels of its channels, weights drawn anew."""
        weight = first.weight
        return nn.Conv2d(
            first.in_channels * self.levels,
            first.out_channels,
            first.kernel_size,  # type: ignore[arg-type]
            first.stride,  # type: ignore[arg-type]
            first.padding,  # type: ignore[arg-type]
            first.dilation,  # type: ignore[arg-type]
            bias=first.bias is not None,
            padding_mode=first.padding_mode,
            device=weight.device,
            dtype=weight.dtype,
        ).train(first.training)
