"""Rules that say where an attacker may change an image, for partial crafting."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vauban.core.errors import UnknownName

BAND = 50 / 299  # of the side, as the 50 pixels of Fig. 3 of 'Clipping Free Attacks Against Neural Networks'


def band(x: Tensor) -> Tensor:
    """True in a band at the top and at the right of images `(batch, channel, height, width)`, 50 of 299 pixels wide."""
    height, width = x.shape[2:]
    mask = torch.zeros(height, width, dtype=torch.bool, device=x.device)
    mask[: max(1, round(BAND * height))] = True
    mask[:, width - max(1, round(BAND * width)) :] = True
    return mask


MASKS: dict[str, Callable[[Tensor], Tensor]] = {"band": band}


def mask_of(name: str | None, x: Tensor) -> Tensor | None:
    """The mask of a rule for a batch of images; None for no rule."""
    if name is None:
        return None
    if name not in MASKS:
        raise UnknownName("mask", name, MASKS)
    return MASKS[name](x)
