"""Network that an attacker trains on a few answers: three convolutions without normalisation, for images of any size."""

from __future__ import annotations

from torch import nn

from vauban.core.parameters import Count
from vauban.models import registry
from vauban.models.layers import Classes

PLACES = 7  # on a side of what the dense layer sees, at most


@registry.register("student", weights="file")
def student(channels: Count = 3, classes: Classes = 10) -> nn.Sequential:
    """Network conv 32 5x5 /2 - conv 64 5x5 /2 - conv 64 3x3 - means over 7x7 places - dense, with leaky ReLU.

    Without batch normalisation, whose statistics a thousand images do not settle.
    """
    return nn.Sequential(
        nn.Conv2d(channels, 32, 5, stride=2, padding=2),
        nn.LeakyReLU(0.1),
        nn.Conv2d(32, 64, 5, stride=2, padding=2),
        nn.LeakyReLU(0.1),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.AdaptiveAvgPool2d(PLACES),
        nn.Flatten(),
        nn.Linear(64 * PLACES**2, classes),
    )
