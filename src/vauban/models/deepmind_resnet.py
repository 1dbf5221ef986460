"""Residual networks of Gowal et al. (2020, arXiv:2010.03593) for 32x32 colour images, their tensors named as published.

They differ from the others of these names in where zeros stand: a convolution of stride 2 is padded below and on the right
alone, as 'same' is in TensorFlow.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vauban.models.layers import scaled
from vauban.models.wide_resnet import blocks_of, stage_of, widths_of


def _same(x: Tensor, stride: int) -> Tensor:
    """x with the zeros that a 3x3 convolution of a stride is given."""
    return F.pad(x, (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))


class _WideStep(nn.Module):
    """Pre-activation block; where the width changes, the shortcut starts behind the first activation."""

    def __init__(self, before: int, maps: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.batchnorm_0, self.batchnorm_1 = nn.BatchNorm2d(before), nn.BatchNorm2d(maps)
        self.conv_0 = nn.Conv2d(before, maps, 3, stride, bias=False)
        self.conv_1 = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        self.shortcut = None if before == maps else nn.Conv2d(before, maps, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        z = F.silu(self.batchnorm_0(x))
        shortcut = x if self.shortcut is None else self.shortcut(z)
        out: Tensor = self.conv_1(F.silu(self.batchnorm_1(self.conv_0(_same(z, self.stride)))))
        return out + shortcut


class SwishWideResNet(nn.Module):
    """Wide residual network with the activation x sigmoid(x), as trained by Gowal, Rebuffi, Wang and others.

    Args:
        depth: Number of layers, 6 n + 4.
        widen: Factor of the width.
        classes: Number of classes.

    Raises:
        ContractError: There is no network of that depth.
    """

    def __init__(self, depth: int = 28, widen: int = 10, classes: int = 10) -> None:
        super().__init__()
        blocks = blocks_of(depth)
        self.init_conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.layer = nn.Sequential(*(stage_of("block", _WideStep, blocks, widths) for widths in widths_of(widen)))
        self.batchnorm = nn.BatchNorm2d(64 * widen)
        self.logits = nn.Linear(64 * widen, classes)

    def forward(self, x: Tensor) -> Tensor:
        z = F.silu(self.batchnorm(self.layer(self.init_conv(x))))
        out: Tensor = self.logits(F.adaptive_avg_pool2d(z, 1).flatten(1))
        return out


class _PreActStep(nn.Module):
    """Pre-activation block, whose shortcut is a 3x3 convolution of the raw input where the width changes."""

    def __init__(self, before: int, maps: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.batchnorm_0, self.batchnorm_1 = nn.BatchNorm2d(before), nn.BatchNorm2d(maps)
        self.conv_2d_1 = nn.Conv2d(before, maps, 3, stride, bias=False)
        self.conv_2d_2 = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        changes = stride != 1 or before != maps
        self.shortcut = nn.Conv2d(before, maps, 3, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        z = F.silu(self.batchnorm_0(x))
        shortcut = x if self.shortcut is None else self.shortcut(_same(x, self.stride))
        out: Tensor = self.conv_2d_2(F.silu(self.batchnorm_1(self.conv_2d_1(_same(z, self.stride)))))
        return out + shortcut


class SwishPreActResNet18(nn.Module):
    """Pre-activation ResNet-18 with the activation x sigmoid(x).

    Args:
        classes: Number of classes.
        width: Factor of the maps.
    """

    def __init__(self, classes: int = 10, width: float = 1.0) -> None:
        super().__init__()
        maps = [scaled(n, width) for n in (64, 64, 128, 256, 512)]
        self.conv_2d = nn.Conv2d(3, maps[0], 3, padding=1, bias=False)
        for i, stride in enumerate((1, 2, 2, 2)):
            before, after = maps[i], maps[i + 1]
            self.add_module(
                f"layer_{i}", nn.Sequential(_PreActStep(before, after, stride), _PreActStep(after, after, 1))
            )
        self.batchnorm = nn.BatchNorm2d(maps[-1])
        self.logits = nn.Linear(maps[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv_2d(x)
        for i in range(4):
            z = self.get_submodule(f"layer_{i}")(z)
        out: Tensor = self.logits(F.adaptive_avg_pool2d(F.silu(self.batchnorm(z)), 1).flatten(1))
        return out
