"""CNN and ResNet of Zantedeschi, Nicolae and Rawat, "Efficient Defenses Against Adversarial Attacks" (2017)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vauban.core.parameters import Count, Positive
from vauban.models import registry
from vauban.models.layers import Activation, Classes, scaled, strided_maps, three_convolutions
from vauban.models.layers import activation as make_activation


@registry.register(
    "efficient-cnn", weights="file", data="mnist, cifar10", recipe="epochs=6 (mnist) or 50, adam lr=1e-3"
)
def efficient_cnn(
    channels: Count = 1, size: Count = 28, classes: Classes = 10, activation: Activation = "relu", width: Positive = 1.0
) -> nn.Sequential:
    """CNN of "Efficient Defenses": three convolutions (8x8/2, 6x6/2, 5x5) and one dense layer; activation=brelu bounds it.

    Strides and padding are not printed; those of the network it follows (2, 2, 1; same, valid, valid) are used.

    Args:
        channels: Channels of the images.
        size: Side of the images in pixels.
        classes: Number of classes.
        activation: A name such as "relu" or "brelu" (bounded by 1), or a function that makes a module.
        width: Factor of the maps.
    """
    return three_convolutions(channels, size, classes, activation, width)


class EfficientResNet(nn.Module):
    """ResNet of two strided and three 1x1 convolutions; the output of layer 2 is added to that of layer 5 before the pool.

    Args:
        channels: Channels of the images.
        size: Side of the images in pixels.
        classes: Number of classes.
        kind: The activation.
        pool_stride: Stride of the 3x3 max pool.
        width: Factor of the maps.
    """

    def __init__(
        self, channels: int, size: int, classes: int, kind: Activation, pool_stride: int, width: float = 1.0
    ) -> None:
        super().__init__()
        few, many = scaled(64, width), scaled(128, width)
        self.conv1, self.act1 = nn.Conv2d(channels, few, 8, stride=2, padding=3), make_activation(kind)
        self.conv2, self.act2 = nn.Conv2d(few, many, 6, stride=2), make_activation(kind)
        self.conv3, self.act3 = nn.Conv2d(many, few, 1), make_activation(kind)
        self.conv4, self.act4 = nn.Conv2d(few, few, 1), make_activation(kind)
        self.conv5, self.act5 = nn.Conv2d(few, many, 1), make_activation(kind)
        self.pool_stride = pool_stride
        side = (strided_maps(size) - 3) // pool_stride + 1
        self.dense = nn.Linear(many * side * side, classes)

    def forward(self, x: Tensor) -> Tensor:
        shortcut: Tensor = self.act2(self.conv2(self.act1(self.conv1(x))))
        z = self.act4(self.conv4(self.act3(self.conv3(shortcut))))
        z = self.act5(self.conv5(z)) + shortcut
        logits: Tensor = self.dense(F.max_pool2d(z, 3, self.pool_stride).flatten(1))
        return logits


@registry.register("efficient-resnet", weights="file", data="mnist, cifar10", recipe="as efficient-cnn")
def efficient_resnet(
    channels: Count = 1,
    size: Count = 28,
    classes: Classes = 10,
    activation: Activation = "relu",
    pool_stride: Count = 3,
    width: Positive = 1.0,
) -> EfficientResNet:
    """ResNet of "Efficient Defenses": five convolutions with an identity shortcut from layer 2 to the 3x3 max pool.

    The stride of the pool is not printed; 3 (its window) is used. Features: 128 (28 pixels) or 512 (32 pixels).

    Args:
        channels: Channels of the images.
        size: Side of the images in pixels.
        classes: Number of classes.
        activation: A name such as "relu" or "brelu" (bounded by 1), or a function that makes a module.
        pool_stride: Stride of the max pool.
        width: Factor of the maps.

    Raises:
        ContractError: Images are too small.
    """
    return EfficientResNet(channels, size, classes, activation, pool_stride, width)
