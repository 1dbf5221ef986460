"""RobustBench checkpoints (Croce et al. 2021, arXiv:2010.09670) without its package: architectures and a loader.

The module names follow the published checkpoints, so that their tensors load strictly.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vauban.core.errors import ContractError, UnknownName
from vauban.models import registry, weights
from vauban.models.layers import Classes, conv3
from vauban.models.preact_resnet import PreActResNet18
from vauban.models.wrap import Normalised

STATISTICS = {
    "none": (None, None),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
UNUSED = ("sub_block1.",)  # a copy of the first block that WRN-34-10 checkpoints carry and no forward pass uses


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
        if (depth - 4) % 6 or depth < 10:
            raise ContractError(f"expected a depth of 6 n + 4, got {depth}")
        blocks, maps = (depth - 4) // 6, (16 * widen, 32 * widen, 64 * widen)
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


ARCHITECTURES = {
    "wrn-28-10": lambda classes, **_: WideResNet(28, 10, classes),
    "wrn-34-10": lambda classes, **_: WideResNet(34, 10, classes),
    "preact-resnet-18": lambda classes, **variant: PreActResNet18(classes, **variant),
}


def clean_keys(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a checkpoint, their names without wrappers' prefixes, without those that no forward pass uses."""
    *_, (_, state) = ((taken, dict(names)) for taken, names in weights.unwrapped(state))
    return {key: value for key, value in state.items() if not key.startswith(UNUSED)}


@registry.register("robustbench", positional="arch", weights="own", data="cifar10")
def robustbench(
    arch: str,
    file: str | None = None,
    classes: Classes = 10,
    normalise: str = "none",
    last_norm: bool = False,
    post: bool = False,
) -> Normalised:
    """A RobustBench checkpoint, its architecture and the downloaded file: `robustbench:wrn-28-10,file=Carmon2019.pt`.

    Tensors only (weights_only): a checkpoint that holds objects is refused.

    Args:
        arch: Name of the architecture.
        file: Path of the checkpoint.
        classes: Number of classes.
        normalise: Statistics as the checkpoint's authors used them: none, cifar10, cifar100 or imagenet.
        last_norm: As of `PreActResNet18`.
        post: As of `PreActResNet18`.

    Raises:
        UnknownName: There are no such architecture or statistics.
        ContractError: The file is not readable or does not fit.
    """
    if arch not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UnknownName(f"architecture (one of {known}; a checkpoint goes into file=)", arch, ARCHITECTURES)
    if file is None:
        raise ContractError(
            f"expected file=CHECKPOINT.pt for robustbench:{arch}; checkpoints are linked in RobustBench's model zoo"
        )
    if normalise not in STATISTICS:
        raise UnknownName("statistics", normalise, STATISTICS)
    path = Path(file).expanduser()
    state = clean_keys(weights.read(path))
    with torch.device("meta"):
        module: nn.Module = ARCHITECTURES[arch](classes, last_norm=last_norm, post=post)  # type: ignore[no-untyped-call]
    module = module.to_empty(device="cpu")
    weights.fit_state(module, state, path)
    return Normalised(module, *STATISTICS[normalise])
