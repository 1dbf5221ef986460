"""Pre-activation ResNet-18 (He et al. 2016, arXiv:1603.05027), the network that papers on robust CIFAR-10 train."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.parameters import Positive
from vauban.models import registry
from vauban.models.layers import Activation, Classes, conv3, scaled
from vauban.models.layers import activation as make_activation


class PreActBlock(nn.Module):
    """Pre-activation basic block; the shortcut starts from the raw input, or (post) from the first activation."""

    def __init__(self, before: int, maps: int, stride: int, post: bool, kind: Activation) -> None:
        super().__init__()
        self.post = post
        self.bn1, self.act1, self.conv1 = nn.BatchNorm2d(before), make_activation(kind), conv3(before, maps, stride)
        self.bn2, self.act2, self.conv2 = nn.BatchNorm2d(maps), make_activation(kind), conv3(maps, maps, 1)
        changes = stride != 1 or before != maps
        self.shortcut = nn.Sequential(nn.Conv2d(before, maps, 1, stride, bias=False)) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        z = self.act1(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(z if self.post else x)
        out: Tensor = self.conv2(self.act2(self.bn2(self.conv1(z)))) + shortcut
        return out


class PreActResNet18(nn.Module):
    """Pre-activation ResNet-18 for 32x32 colour images.

    `last_norm` and `post` are as in the checkpoints of fast adversarial training and overfitting studies, off in the plain
    form.

    Args:
        classes: Number of classes.
        last_norm: Batch normalisation and ReLU before the pool.
        post: Shortcuts start behind the activation.
        kind: The activation.
        width: Factor of the maps.
    """

    def __init__(
        self,
        classes: int = 10,
        last_norm: bool = False,
        post: bool = False,
        kind: Activation = "relu",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        maps = [scaled(n, width) for n in (64, 64, 128, 256, 512)]
        self.conv1 = conv3(3, maps[0], 1)
        for i, stride in enumerate((1, 2, 2, 2)):
            before, after = maps[i], maps[i + 1]
            blocks = PreActBlock(before, after, stride, post, kind), PreActBlock(after, after, 1, post, kind)
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.bn = nn.BatchNorm2d(maps[-1]) if last_norm else None
        self.act = make_activation(kind) if last_norm else None
        self.linear = nn.Linear(maps[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv1(x)
        for i in range(4):
            z = self.get_submodule(f"layer{i + 1}")(z)
        if self.bn is not None and self.act is not None:
            z = self.act(self.bn(z))
        logits: Tensor = self.linear(F.adaptive_avg_pool2d(z, 1).flatten(1))
        return logits


@registry.register(
    "preact-resnet-18", weights="file", data="cifar10", recipe="epochs=100, sgd lr=0.1, cosine, weight decay 5e-4"
)
def preact_resnet_18(classes: Classes = 10, activation: Activation = "relu", width: Positive = 1.0) -> PreActResNet18:
    """Pre-activation ResNet-18 for 32x32 colour images, with batch normalisation before the pool.

    Args:
        classes: Number of classes.
        activation: A name such as "relu" or "brelu" (bounded by 1), or a function that makes a module.
        width: Factor of the maps.
    """
    return PreActResNet18(classes, last_norm=True, post=True, kind=activation, width=width)
