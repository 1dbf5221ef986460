"""Five small networks of different architecture for 32x32 images: stand-ins where a study needs several unlike ones.

Each has about 0.2 million parameters and 10 million multiplications per image, so that all five train on two cores
within the hour. They follow the families named beside them, not any one published network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vauban.core.parameters import Count
from vauban.models import registry
from vauban.models.layers import Classes

RECIPE = "epochs=10, adam lr=3e-3, augment, cosine"


def _conv(inward: int, outward: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU, padded to keep the side at stride 1."""
    return nn.Sequential(
        nn.Conv2d(inward, outward, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outward),
        nn.ReLU(),
    )


def _head(width: int, classes: int) -> nn.Sequential:
    """Mean over positions and a dense layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


@registry.register("small-plain", weights="file", data="cifar10", recipe=RECIPE)
def small_plain(channels: Count = 3, classes: Classes = 10) -> nn.Sequential:
    """Network of five 3x3 convolutions in a row, three of them strided (VGG, arXiv:1409.1556)."""
    layers = [(channels, 24, 2), (24, 48, 1), (48, 64, 2), (64, 96, 1), (96, 96, 2)]
    return nn.Sequential(*(_conv(before, maps, stride=s) for before, maps, s in layers), _head(96, classes))


class _Residual(nn.Module):
    """Residual block of two 3x3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(width, width), nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(x + self.body(x))
        return out


@registry.register("small-residual", weights="file", data="cifar10", recipe=RECIPE)
def small_residual(channels: Count = 3, classes: Classes = 10) -> nn.Sequential:
    """Network of three stages with one residual block each (ResNet, arXiv:1512.03385)."""
    widths = [(channels, 24), (24, 48), (48, 80)]
    stages = [nn.Sequential(_conv(before, maps, stride=2), _Residual(maps)) for before, maps in widths]
    return nn.Sequential(*stages, _head(80, classes))


@registry.register("small-separable", weights="file", data="cifar10", recipe=RECIPE)
def small_separable(channels: Count = 3, classes: Classes = 10) -> nn.Sequential:
    """Network of depthwise 3x3 and pointwise 1x1 convolutions in turn (MobileNet, arXiv:1704.04861)."""
    layers = [_conv(channels, 32, stride=2)]
    for before, maps, stride in [(32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]:
        layers += [_conv(before, before, stride=stride, groups=before), _conv(before, maps, 1)]
    return nn.Sequential(*layers, _head(256, classes))


class _Growing(nn.Module):
    """Stage whose every layer adds `growth` maps to those it saw."""

    def __init__(self, width: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_conv(width + i * growth, growth) for i in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


@registry.register("small-dense", weights="file", data="cifar10", recipe=RECIPE)
def small_dense(channels: Count = 3, classes: Classes = 10) -> nn.Sequential:
    """Network of layers that see all earlier maps of their stage (DenseNet, arXiv:1608.06993)."""
    return nn.Sequential(
        _conv(channels, 24, stride=2),
        _Growing(24, 16, 3),
        nn.AvgPool2d(2),
        _Growing(72, 24, 4),
        nn.AvgPool2d(2),
        _conv(168, 128, 1),
        _Growing(128, 24, 2),
        _head(176, classes),
    )


class _Branches(nn.Module):
    """A 1x1, a 3x3 and a 5x5 branch side by side, `width` maps each."""

    def __init__(self, inward: int, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                _conv(inward, width, 1),
                nn.Sequential(_conv(inward, width, 1), _conv(width, width)),
                nn.Sequential(_conv(inward, width // 2, 1), _conv(width // 2, width, 5)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


@registry.register("small-branched", weights="file", data="cifar10", recipe=RECIPE)
def small_branched(channels: Count = 3, classes: Classes = 10) -> nn.Sequential:
    """Network of kernels of several sizes side by side (Inception, arXiv:1409.4842)."""
    return nn.Sequential(
        _conv(channels, 24, 5, stride=2),
        _Branches(24, 16),
        nn.MaxPool2d(2),
        _Branches(48, 32),
        nn.MaxPool2d(2),
        _Branches(96, 64),
        _head(192, classes),
    )
