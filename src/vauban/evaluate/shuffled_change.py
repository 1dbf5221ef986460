"""Shuffled change: noise of exactly the size of an attack's change, to see whether a network rejects any change at all."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.rng import Stream
from vauban.core.tensors import flat


def shuffled(x: Tensor, image: Tensor, rng: Stream, mask: Tensor | None = None) -> Tensor:
    """The originals with the components of the change in other places and with other signs, `(batch, ...)`.

    It has the L0, L1, L2 and L-infinity size of the change, and lies on the pixel grid where the images do. A component
    that would leave [0,1] has the other sign; where both would, it is clipped, and the size is a little smaller.

    Args:
        x: Originals `(batch, ...)` in [0,1].
        image: Changed images `(batch, ...)`.
        rng: Random numbers keyed by sample.
        mask: Where images may be changed, `(batch, ...)`: the components stay there. None: everywhere.
    """
    change, shape = flat(image - x).nan_to_num(), tuple(x.shape[1:])
    order = flat(rng.uniform("shuffled", shape))
    if mask is not None:
        order = order.where(flat(mask), 2)  # after all the others
        change = change.gather(1, flat(~mask).to(torch.uint8).argsort(stable=True, dim=1))
    noise = torch.zeros_like(change).scatter(1, order.argsort(stable=True, dim=1), change).view_as(x)
    noise = noise * rng.signs("shuffled signs", shape, dtype=x.dtype)
    there = x + noise
    return torch.where((there < 0) | (there > 1), x - noise, there).clamp(0, 1)
