"""Trials of pixels: images that differ from one another in a few pixels, all channels of them, and what each is worth."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.losses import auto, loss_values
from vauban.engine import Oracle


def worth(oracle: Oracle, images: Tensor) -> Tensor:
    """Worth of k images of each sample to the attacker, `(batch, k)`; k queries of a sample in one call.

    The loss `auto`: in the order of the probability of the class that is left or sought, also where float32 cannot tell
    it from 1. Minus infinity where a logit is not finite.

    Args:
        oracle: Access to the network.
        images: `(batch, k, ...)`.
    """
    rows, k = images.shape[:2]
    wide = oracle.repeat(k)
    value = loss_values(auto, wide.scores(images.flatten(0, 1)), wide.goal).to(images.dtype).view(rows, k)
    return value.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)


def painted(x: Tensor, place: Tensor, colour: Tensor) -> Tensor:
    """Images with some pixels of another colour, the later of two at one place on top.

    Args:
        x: Images `(batch, ...)` of `(channels, pixels)` components each, in this order.
        place: Flat positions of n pixels in each of k images, int64 `(batch, k, n)`.
        colour: Their colours, `(batch, k, n, channels)`.

    Returns:
        `(batch, k, ...)`.
    """
    (rows, k, n), channels = place.shape, colour.shape[3]
    flat = x.reshape(rows, 1, channels, -1).repeat(1, k, 1, 1)
    for j in range(n):
        index = place[:, :, None, j : j + 1].expand(-1, -1, channels, -1)
        flat = flat.scatter(3, index, colour[:, :, j, :, None])
    return flat.view(rows, k, *x.shape[1:])


def colours(x: Tensor, place: Tensor, channels: int) -> Tensor:
    """The colours of pixels of images x `(batch, ...)` at flat positions `(batch, n)`, `(batch, n, channels)`."""
    index = place[:, None].expand(-1, channels, -1)
    return x.reshape(len(x), channels, -1).gather(2, index).transpose(1, 2)
