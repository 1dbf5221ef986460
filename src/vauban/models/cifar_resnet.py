"""ResNet-18 and ResNet-50 (He et al. 2016, arXiv:1512.03385) for 32x32 colour images: first a 3x3 convolution, no pool."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vauban.models.layers import conv3, scaled


def _shortcut(before: int, after: int, stride: int) -> nn.Sequential:
    """A 1x1 convolution with batch normalisation where size or width change, else nothing."""
    if stride == 1 and before == after:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


class _TwoLayers(nn.Module):
    """Block of two 3x3 convolutions."""

    expansion = 1

    def __init__(self, before: int, maps: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3(before, maps, stride), nn.BatchNorm2d(maps)
        self.conv2, self.bn2 = conv3(maps, maps, 1), nn.BatchNorm2d(maps)
        self.shortcut = _shortcut(before, maps, stride)

    def forward(self, x: Tensor) -> Tensor:
        z = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(z + self.shortcut(x))


class _ThreeLayers(nn.Module):
    """Bottleneck: 1x1, 3x3 and 1x1 convolutions, the last of four times the width."""

    expansion = 4

    def __init__(self, before: int, maps: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, maps, 1, bias=False), nn.BatchNorm2d(maps)
        self.conv2, self.bn2 = conv3(maps, maps, stride), nn.BatchNorm2d(maps)
        self.conv3, self.bn3 = nn.Conv2d(maps, 4 * maps, 1, bias=False), nn.BatchNorm2d(4 * maps)
        self.shortcut = _shortcut(before, 4 * maps, stride)

    def forward(self, x: Tensor) -> Tensor:
        z = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(z)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """Residual network of four stages for 32x32 colour images.

    Args:
        blocks: Blocks of each stage.
        bottleneck: Blocks of three layers in the place of two.
        classes: Number of classes.
        width: Factor of the maps.
    """

    def __init__(
        self, blocks: tuple[int, int, int, int], bottleneck: bool = False, classes: int = 10, width: float = 1.0
    ) -> None:
        super().__init__()
        block = _ThreeLayers if bottleneck else _TwoLayers
        before = scaled(64, width)
        self.conv1, self.bn1 = conv3(3, before, 1), nn.BatchNorm2d(before)
        for i, (number, stride) in enumerate(zip(blocks, (1, 2, 2, 2), strict=True)):
            maps, stage = scaled(64 * 2**i, width), []
            for step in (stride, *(1,) * (number - 1)):
                stage.append(block(before, maps, step))
                before = block.expansion * maps
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self.linear = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        z = F.relu(self.bn1(self.conv1(x)))
        for i in range(4):
            z = self.get_submodule(f"layer{i + 1}")(z)
        logits: Tensor = self.linear(F.adaptive_avg_pool2d(z, 1).flatten(1))
        return logits
