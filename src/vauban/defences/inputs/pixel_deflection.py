"""Pixel deflection (Prakash, Moran, Garber, DiLillo, Storer 2018, arXiv:1801.08926)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from vauban.core.cards import Defended, in_training
from vauban.core.errors import ContractError
from vauban.core.parameters import NonNegative, Range, Whole
from vauban.defences.base import InputDefence, check_image, check_module, register
from vauban.defences.features.layers import layer_of
from vauban.defences.inputs.activation_map import robust_map
from vauban.defences.inputs.wavelets import shrunk


class Deflected(Defended):
    """inner(deflected x), more rarely where the network's robust map of activations is high."""

    def __init__(self, inner: nn.Module, defence: PixelDeflection, layer: nn.Module) -> None:
        super().__init__(inner, defence.card)
        self.defence, self.mapped = defence, [layer]  # in a list: the layer is a part of inner already
        self.training = in_training(inner)

    def forward(self, x: Tensor) -> Tensor:
        activation = robust_map(self.inner, self.mapped[0], x)
        logits: Tensor = self.inner(self.defence.denoised(x, activation))
        return logits

    def extra_repr(self) -> str:
        return self.defence.name


@register("pixel-deflection")
@dataclass(frozen=True)
class PixelDeflection(InputDefence):
    """Some pixels replaced by random neighbours, then the details of noise taken off in the domain of wavelets.

    A pixel p is drawn with a probability proportional to 1 - map(p), and becomes the original pixel n, all channels of it,
    uniform on the window |n - p| <= radius (both axes) within the image; a pixel drawn twice keeps its last. Then
    BayesShrink of Haar wavelets in YCbCr (grey images as they are) and a clip to [0,1]. The map is the robust class
    activation map: sum over the five classes with the largest logits of CAM_i / 2^i, i = 1 ... 5, scaled to [0,1].
    Draws are from torch's global generator, which the oracle forks and seeds; copies and shrinkage have their true
    gradient, over 16 draws (EOT), the map none. Images (batch, 1 or 3, height, width). Prakash, Moran, Garber, DiLillo,
    Storer 2018, arXiv:1801.08926, sections 4 to 6.

    Attributes:
        deflections: Pixels drawn for each image, with repetition.
        radius: Of the window in pixels.
        sigma: Deviation of the noise that shrinkage takes off; 0: no shrinkage.
        layer: The network's last layer of feature maps, as in `named_modules()`, of which the map is made; "": every pixel
            is drawn alike.

    Raises:
        ContractError: A value outside its range, or another number of channels; when wrapped, no such layer; when run, a
            layer without maps (batch, channels, height, width).

    Departures: weights of a CAM are the summed derivatives of the class's logit in a map's pixels: those of the last
    linear layer where it follows a mean over all pixels, as CAM asks for, and defined for any other network. The authors'
    code deflects one channel at a time, and reads pixels that it has changed already.
    """

    reference = "Prakash, Moran, Garber, DiLillo, Storer 2018, arXiv:1801.08926"
    random: ClassVar[bool] = True
    draws: ClassVar[int] = 16
    deflections: Annotated[int, Range(0, 1_000_000)] = 200
    radius: Annotated[int, Range(1, 1000)] = 10
    sigma: NonNegative = 0.04
    layer: str | Whole = ""

    def apply(self, x: Tensor) -> Tensor:
        """Images deflected without a map."""
        return self.denoised(x, torch.zeros_like(x[:, 0]))

    def denoised(self, x: Tensor, activation: Tensor) -> Tensor:
        """Images deflected and shrunk.

        Args:
            x: Images `(batch, 1 or 3, height, width)`.
            activation: The map in [0,1], `(batch, height, width)`.
        """
        check_image(x, "pixel deflection")
        if x.shape[1] not in (1, 3):
            raise ContractError(f"expected 1 or 3 channels for pixel deflection, got {x.shape[1]}")
        moved = deflected(x, *self.drawn(activation)) if self.deflections else x
        return (shrunk(moved, self.sigma) if self.sigma else moved).clamp(0, 1)

    def drawn(self, activation: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels p and their sources n, row by row numbered, int64 `(batch, deflections)` each."""
        height, width = activation.shape[1:]
        p = torch.multinomial((1 - activation).flatten(1), self.deflections, replacement=True)
        axes = []
        for at, length in ((p // width, height), (p % width, width)):
            low, high = (at - self.radius).clamp_min(0), (at + self.radius).clamp_max(length - 1)
            share = torch.rand(at.shape, dtype=torch.float64, device=at.device)
            axes.append(low + (share * (high - low + 1)).long())
        return p, axes[0] * width + axes[1]

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module behind this defence; weights are shared, modes are kept.

        Raises:
            ContractError: Something that is no torch module, or has no such layer.
        """
        if self.layer == "":
            return super().wrap(module)
        return Deflected(check_module(module), self, layer_of(module, str(self.layer)))


def deflected(x: Tensor, p: Tensor, n: Tensor) -> Tensor:
    """Images whose pixels p are their pixels n, all at once; of a pixel that stands in p twice the last counts.

    Args:
        x: Images `(batch, channel, height, width)`.
        p, n: Pixels, row by row numbered, int64 `(batch, count)`.
    """
    turn = torch.arange(1, p.shape[1] + 1, device=p.device).expand_as(p)
    last = torch.zeros(len(x), x.shape[2] * x.shape[3], dtype=p.dtype, device=p.device)
    last = last.scatter_reduce(1, p, turn, "amax")
    own = torch.arange(last.shape[1], device=p.device).expand_as(last)
    source = torch.where(last > 0, n.gather(1, (last - 1).clamp_min(0)), own)
    return x.flatten(2).gather(2, source[:, None, :].expand(-1, x.shape[1], -1)).view_as(x)
