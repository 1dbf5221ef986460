"""Layers that the reference architectures share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

from torch import nn

from vauban.core.errors import ContractError, UnknownName
from vauban.core.parameters import Range
from vauban.models.bounded_relu import BoundedReLU

Activation = str | Callable[[], nn.Module]
Classes = Annotated[int, Range(2)]
"""A whole number of classes, at least 2."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": partial(nn.LeakyReLU, 0.1),
    "brelu": BoundedReLU,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
}


def activation(kind: Activation) -> nn.Module:
    """A new activation module, by name or from a function: every place in a network gets its own. Raises UnknownName."""
    if callable(kind):
        return kind()
    if kind not in ACTIVATIONS:
        raise UnknownName("activation", kind, ACTIVATIONS)
    return ACTIVATIONS[kind]()


def strided_maps(size: int) -> int:
    """Side of the map after 8x8 stride 2 'same' and 6x6 stride 2 'valid' on images of side `size`. Raises ContractError."""
    if size % 2 or size < 28:
        raise ContractError(f"expected images with an even side of at least 28 pixels, got size={size}")
    return (size // 2 - 6) // 2 + 1


def scaled(maps: int, width: float) -> int:
    """A number of maps times the width, at least 1."""
    return max(1, round(maps * width))


def conv3(before: int, maps: int, stride: int) -> nn.Conv2d:
    """3x3 convolution without bias, padded by one pixel."""
    return nn.Conv2d(before, maps, 3, stride, 1, bias=False)


def three_convolutions(channels: int, size: int, classes: int, kind: Activation, width: float = 1.0) -> nn.Sequential:
    """Network conv 64 8x8 /2 same - conv 128 6x6 /2 valid - conv 128 5x5 /1 valid - dense.

    An activation follows each convolution. Maps 28 -> 14 -> 5 -> 1 (128 features) and 32 -> 16 -> 6 -> 2 (512 features).
    'same' pads 3 pixels on every side.

    Args:
        channels: Channels of the images.
        size: Side of the images in pixels.
        classes: Number of classes.
        kind: The activation.
        width: Factor of the maps.

    Raises:
        ContractError: The side is odd or below 28.
    """
    side, few, many = strided_maps(size) - 4, scaled(64, width), scaled(128, width)
    return nn.Sequential(
        nn.Conv2d(channels, few, 8, stride=2, padding=3),
        activation(kind),
        nn.Conv2d(few, many, 6, stride=2),
        activation(kind),
        nn.Conv2d(many, many, 5),
        activation(kind),
        nn.Flatten(),
        nn.Linear(many * side * side, classes),
    )


def normalised_convolution(before: int, maps: int, padding: int, kind: Activation) -> list[nn.Module]:
    """Layers 3x3 convolution (He-normal, no bias: the normalisation has one) - batch normalisation - activation.

    Args:
        before: Maps that come in.
        maps: Maps that go out.
        padding: Pixels of zeros on every side.
        kind: The activation.
    """
    convolution = nn.Conv2d(before, maps, 3, padding=padding, bias=False)
    nn.init.kaiming_normal_(convolution.weight)
    return [convolution, nn.BatchNorm2d(maps), activation(kind)]
