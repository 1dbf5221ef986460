"""Two networks of Taran, Rezaeifar and Voloshynovskiy, "Bridging machine learning and cryptography" (2018)."""

from __future__ import annotations

from torch import nn

from vauban.core.errors import ContractError
from vauban.core.parameters import Count, Share
from vauban.models import registry
from vauban.models.layers import Activation, Classes, three_convolutions
from vauban.models.layers import activation as make_activation


@registry.register("keyed-fgsm", weights="file", data="mnist, fashion-mnist", recipe="epochs=6 batch=128 lr=1e-3 adam")
def keyed_fgsm(
    channels: Count = 1, size: Count = 28, classes: Classes = 10, activation: Activation = "relu"
) -> nn.Sequential:
    """Network of Table 1 of the keyed defence: convolutions 8x8, 6x6, 5x5 with ReLU and one dense layer."""
    return three_convolutions(channels, size, classes, activation)


@registry.register(
    "keyed-cw", weights="file", data="mnist, fashion-mnist", recipe="epochs=50 batch=128 lr=0.01 sgd (momentum 0.9)"
)
def keyed_cw(
    c1: Count = 32,
    c2: Count = 64,
    h: Count = 200,
    channels: Count = 1,
    size: Count = 28,
    classes: Classes = 10,
    dropout: Share = 0.5,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Network of Table 2 of the keyed defence: four 3x3 convolutions, two pools, three dense layers, one dropout.

    (c1, c2, h) = (32, 64, 200) for MNIST and (64, 128, 256) for Fashion-MNIST. Convolutions are 'valid' as in Carlini and
    Wagner's own code: maps 28 -> 26 -> 24 -> 12 -> 10 -> 8 -> 4.

    Args:
        c1: Maps of the first two convolutions.
        c2: Maps of the last two.
        h: Units of the first two dense layers.
        channels: Channels of the images.
        size: Side of the images in pixels.
        classes: Number of classes.
        dropout: Probability of the dropout.
        activation: A name such as "relu", or a function that makes a module.

    Raises:
        ContractError: Images are smaller than 16 pixels.
    """
    side = ((size - 4) // 2 - 4) // 2
    if side < 1:
        raise ContractError(f"expected images of at least 16 pixels, got size={size}")
    return nn.Sequential(
        nn.Conv2d(channels, c1, 3),
        make_activation(activation),
        nn.Conv2d(c1, c1, 3),
        make_activation(activation),
        nn.MaxPool2d(2),
        nn.Conv2d(c1, c2, 3),
        make_activation(activation),
        nn.Conv2d(c2, c2, 3),
        make_activation(activation),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(c2 * side * side, h),
        make_activation(activation),
        nn.Dropout(dropout),
        nn.Linear(h, h),
        make_activation(activation),
        nn.Linear(h, classes),
    )
