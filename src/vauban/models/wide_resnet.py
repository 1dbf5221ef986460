"""Wide residual network (Zagoruyko and Komodakis 2016, arXiv:1605.07146), its tensors named as RobustBench has them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.models.layers import conv3

Widths = tuple[int, int, int]
"""Maps before a stage, maps after it, and its stride."""


def blocks_of(depth: int) -> int:
    """Blocks in each of three stages of a wide network of 6 n + 4 layers. Raises ContractError for another depth."""
    if (depth - 4) % 6 or depth < 10:
        raise ContractError(f"expected a depth of 6 n + 4, got {depth}")
    return (depth - 4) // 6


def widths_of(widen: int) -> list[Widths]:
    """The three stages of a wide network."""
    maps = (16, 16 * widen, 32 * widen, 64 * widen)
    return list(zip(maps, maps[1:], (1, 2, 2), strict=False))


def stage_of(name: str, block: Callable[[int, int, int], nn.Module], blocks: int, widths: Widths) -> nn.Sequential:
    """Blocks of one width in a row, the first with a stride.

    Args:
        name: What a stage calls them, as tensors are named by it.
        block: From maps before, maps after and stride to a block.
        blocks: Number of blocks.
        widths: Maps before and after, and the stride.
    """
    _, maps, _ = widths
    row = nn.Sequential(block(*widths), *(block(maps, maps, 1) for _ in range(blocks - 1)))
    return nn.Sequential(OrderedDict([(name, row)]))


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
        blocks = blocks_of(depth)
        self.conv1 = conv3(3, 16, 1)
        self.block1, self.block2, self.block3 = (
            stage_of("layer", _WideBlock, blocks, widths) for widths in widths_of(widen)
        )
        self.bn1 = nn.BatchNorm2d(64 * widen)
        self.fc = nn.Linear(64 * widen, classes)

    def forward(self, x: Tensor) -> Tensor:
        z = F.relu(self.bn1(self.block3(self.block2(self.block1(self.conv1(x))))))
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(z, 1).flatten(1))
        return logits
