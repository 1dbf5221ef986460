"""Feature denoising block (Xie, Wu, van der Maaten, Yuille, He 2019, arXiv:1812.03411, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.errors import ContractError, UnknownName
from vauban.core.parameters import Whole
from vauban.core.surgery import replaced
from vauban.training import registry
from vauban.training.recipe import RecipePart

KIND = "feature-denoising"
Denoiser = Literal["gaussian", "dot", "mean", "median"]
"""Non-local means with softmax weights or with plain products, the mean or the median of 3x3 places."""


class DenoisingBlock(nn.Module):
    """x + BN(W denoise(x)) for maps `(batch, channels, height, width)`, W a 1x1 convolution.

    gaussian: y_i = sum_j softmax_j(theta(x_i) . phi(x_j) / sqrt(d)) x_j with 1x1 convolutions theta and phi to d channels,
    half of the map's (equations 3 and 4, 'embedded'); dot: y_i = (1/n) sum_j (x_i . x_j) x_j over n places; mean, median:
    of the 3x3 places around, the last one repeated beyond the border. BN starts at scale 0: an untrained block changes
    nothing.

    Attributes:
        denoiser: The operation.
    """

    def __init__(self, channels: int, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        if denoiser == "gaussian":
            inner = max(1, channels // 2)
            self.theta, self.phi = nn.Conv2d(channels, inner, 1), nn.Conv2d(channels, inner, 1)
        self.weight = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.norm(self.weight(self.denoised(x)))
        return out

    def denoised(self, x: Tensor) -> Tensor:
        """denoise(x), of the shape of x."""
        if self.denoiser in ("mean", "median"):
            windows = F.pad(x, (1, 1, 1, 1), mode="replicate").unfold(2, 3, 1).unfold(3, 3, 1).flatten(-2)
            filtered: Tensor = windows.mean(-1) if self.denoiser == "mean" else windows.median(-1).values
            return filtered
        flat = x.flatten(2)
        if self.denoiser == "dot":
            # Products in the cheaper order: (x x^T) x, channels by channels, not places by places.
            return (flat @ flat.mT / flat.shape[2] @ flat).view_as(x)
        theta, phi = self.theta(x).flatten(2), self.phi(x).flatten(2)
        weights = (theta.mT @ phi / theta.shape[1] ** 0.5).softmax(-1)
        averaged: Tensor = (flat @ weights.mT).view_as(x)
        return averaged

    def extra_repr(self) -> str:
        return f"denoiser={self.denoiser!r}"


@registry.register(KIND)
@dataclass(frozen=True)
class FeatureDenoising(RecipePart):
    """Feature denoising: a block x + BN(W denoise(x)) behind a layer, trained with the network.

    The paper trains such networks adversarially, with several blocks, one part each:
    `feature-denoising:after=layer2+feature-denoising:after=layer3+at:attack=[...]`. Other weights are shared; an untrained
    block changes nothing. Everything is differentiable. `after` keeps its name in the edited network. Xie et al. 2019,
    arXiv:1812.03411, section 4.

    Attributes:
        after: The layer's name in the network, as in `named_modules()`; None: the last convolution.
        denoiser: gaussian: non-local means with softmax weights of embedded features; dot: with plain products; mean,
            median: of 3x3 places.

    Raises:
        ContractError: When a network is edited: the layer has no convolution or batch normalisation, which tell its
            channels.
        UnknownName: When a network is edited: no such layer.

    Departures: the paper puts a block behind the last residual block of each of four stages; here each is named.
    """

    after: str | Whole | None = None
    denoiser: Denoiser = "gaussian"

    def edit(self, module: nn.Module) -> nn.Module:
        named = dict(module.named_modules())
        named.pop("")
        if self.after is None:
            inside = {
                part for block in module.modules() if isinstance(block, DenoisingBlock) for part in block.modules()
            }
            convolutions = [part for part in named.values() if isinstance(part, nn.Conv2d) and part not in inside]
            layer = convolutions[-1] if convolutions else module
        elif str(self.after) in named:
            layer = named[str(self.after)]
        else:
            raise UnknownName(f"layer of {type(module).__name__}:", str(self.after), list(named))
        block = DenoisingBlock(channels_of(layer), self.denoiser)
        weight = next((p for p in layer.parameters()), None)
        if weight is not None:
            block = block.to(weight.device, weight.dtype)
        behind = nn.Sequential(layer, block.train(layer.training))
        behind.training = layer.training
        return replaced(module, layer, behind)


def channels_of(layer: nn.Module) -> int:
    """Channels of a layer's output: those of its last convolution or batch normalisation. Raises ContractError: none."""
    told = [part for part in layer.modules() if isinstance(part, nn.Conv2d | nn.BatchNorm2d)]
    if not told:
        raise ContractError(
            f"expected a layer with a convolution or batch normalisation for {KIND}, got {type(layer).__name__}; "
            "name another: after=NAME"
        )
    last = told[-1]
    return last.out_channels if isinstance(last, nn.Conv2d) else last.num_features
