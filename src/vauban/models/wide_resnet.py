"""Wide residual network (Zagoruyko and Komodakis 2016, arXiv:1605.07146), its tensors named as RobustBench has them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.models.layers import conv3


def blocks_of(depth: int) -> int:
    """Blocks in each of three stages of a wide network of 6 n + 4 layers. Raises ContractError for another depth."""
    if (depth - 4) % 6 or depth < 10:
        raise ContractError(f"expected a depth of 6 n + 4, got {depth}")
    return (depth - 4) // 6


class _WideBlock(nn.Module):
    """Pre-activation block; where the width changes, the shortcut starts behind the first activation."""

    def __init__(self, before: int, maps: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(before), conv3(before, maps, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(maps), conv3(maps, maps, 1)
        self.convShortcut = None if before == maps else nn.Conv2d(before, maps, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        z = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(z)
        out: Tensor = self.conv2(F.relu(self.bn2(self.conv1(z)))) + shortcut
        return out


class _Stage(nn.Module):
    """Blocks of one width, the first with a stride."""

    def __init__(self, blocks: int, before: int, maps: int, stride: int) -> None:
        super().__init__()
        rest = [_WideBlock(maps, maps, 1) for _ in range(blocks - 1)]
        self.layer = nn.Sequential(_WideBlock(before, maps, stride), *rest)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


class WideResNet(nn.Module):
    """Wide residual network (Zagoruyko and Komodakis 2016, arXiv:1605.07146) for 32x32 colour images.

    Args:
        depth: Number of layers, 6 n + 4.
        widen: Factor of the width.
        classes: Number of classes.

    Raises:
        ContractError: There is no network of that depth.
    """

    def __init__(self, depth: int = 28, widen: int = 10, classes: int = 10) -> None:
        super().__init__()
        blocks, maps = blocks_of(depth), (16 * widen, 32 * widen, 64 * widen)
        self.conv1 = conv3(3, 16, 1)
        self.block1 = _Stage(blocks, 16, maps[0], 1)
        self.block2 = _Stage(blocks, maps[0], maps[1], 2)
        self.block3 = _Stage(blocks, maps[1], maps[2], 2)
        self.bn1 = nn.BatchNorm2d(maps[2])
        self.fc = nn.Linear(maps[2], classes)

    def forward(self, x: Tensor) -> Tensor:
        z = F.relu(self.bn1(self.block3(self.block2(self.block1(self.conv1(x))))))
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(z, 1).flatten(1))
        return logits
