"""Two networks of H. Zhang's thesis (Deep Learning in Adversarial Context, section 3.2.1)."""

from __future__ import annotations

from typing import Annotated

from torch import nn

from vauban.core.parameters import Count, Range, Share
from vauban.models import registry
from vauban.models.layers import Activation, Classes, normalised_convolution, three_convolutions

Width = Annotated[float, Range(0, 64, open_low=True)]
"""Factor of the number of maps."""


@registry.register("mnist-c4", weights="file", data="mnist", recipe="epochs=6 batch=128 lr=1e-3 adam")
def mnist_c4(
    channels: Count = 1, size: Count = 28, classes: Classes = 10, activation: Activation = "leaky-relu"
) -> nn.Sequential:
    """C4, the MNIST network of the thesis: three strided convolutions with leaky ReLU and one dense layer.

    The slope of the leaky ReLU is not printed; 0.1, the slope of the thesis's CIFAR-10 network, is used.

    Args:
        channels: Channels of the images.
        size: Side of the images in pixels.
        classes: Number of classes.
        activation: A name such as "leaky-relu", or a function that makes a module.
    """
    return three_convolutions(channels, size, classes, activation)


@registry.register("cifar10-thesis", weights="file", data="cifar10", recipe="epochs=200 batch=128 lr=1e-3 adam")
def cifar10_thesis(
    channels: Count = 3,
    classes: Classes = 10,
    width: Width = 1.0,
    dropout: Share = 0.5,
    activation: Activation = "leaky-relu",
) -> nn.Sequential:
    """The CIFAR-10 network of the thesis: nine 3x3 convolutions with batch normalisation and leaky ReLU, two dropouts.

    Maps 32 -> 16 -> 8 -> 6 -> 4 -> 2 -> 1; He-normal initialisation.

    Args:
        channels: Channels of the images.
        classes: Number of classes.
        width: Factor of the number of maps; 1 as printed.
        dropout: Probability of the two dropouts.
        activation: A name such as "leaky-relu", or a function that makes a module.
    """
    few, some, many = (max(1, round(width * printed)) for printed in (128, 256, 512))
    layers: list[nn.Module] = []
    before = channels
    for maps in (few, some):
        for _ in range(3):
            layers += normalised_convolution(before, maps, 1, activation)
            before = maps
        layers += [nn.MaxPool2d(2), nn.Dropout(dropout)]
    for maps in (many, some, few):
        layers += normalised_convolution(before, maps, 0, activation)
        before = maps
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))
