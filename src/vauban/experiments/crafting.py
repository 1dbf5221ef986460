"""Crafting one batch: the attack, the last clip, 8 bits, the PNG that is stored, and the check of its bound."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, VaubanError
from vauban.core.goals import Targeted, Untargeted
from vauban.core.lattice import Lattice
from vauban.core.norms import Ball, Linf
from vauban.core.tensors import flat
from vauban.engine import Attack, Result, Steps, Threat, iterate, run
from vauban.evaluate.batch import png
from vauban.experiments.masks import mask_of
from vauban.experiments.spec import Craft

LEVELS = 256


@dataclass(frozen=True)
class Crafted:
    """The saved images of a batch as PNG bytes, their largest change `(batch,)` in pixels of [0,1], and the passes."""

    png: list[bytes]
    linf: Tensor
    forwards: Tensor
    backwards: Tensor


def bounds(craft: Craft, x: Tensor) -> list[Ball]:
    """The L-infinity balls, bound to x, that the saved images must not leave."""
    attack: Any = craft.attack
    balls = [getattr(attack, "ball", None)]
    balls += [None if size is None else Linf(size) for size in (getattr(attack, "box", None), craft.clip)]
    return [ball.bind(x) for ball in balls if isinstance(ball, Ball) and ball.norm is Linf]


def craft_batch(craft: Craft, threat: Threat, batch: Batch, target: Tensor, seed: int) -> Crafted:
    """The images of a batch as they would be saved: step attacks run to their last iterate and hand that over.

    Raises VaubanError where a saved image leaves its bound or its mask.
    """
    if batch.levels != LEVELS:
        raise ContractError(f"expected images of {LEVELS} pixel levels, which PNG can hold, got levels={batch.levels}")
    mask = mask_of(craft.mask, batch.x)
    goal = Targeted(target) if craft.targeted else Untargeted()
    ask = threat.open(batch.x, batch.y, goal, batch.ids, seed, mask)
    attack: Attack = craft.attack
    found: Result = iterate(attack, ask, stop="never", keep="last") if isinstance(attack, Steps) else run(attack, ask)
    image, limits = found.crafted, bounds(craft, batch.x)
    if craft.clip is not None:
        image = image.clamp(batch.x - craft.clip, batch.x + craft.clip)
    for ball in limits:  # to the nearest grid point inside the ball: 0.1 is 25.5/255
        image = Lattice(LEVELS, batch.x, ball).round(image)
    saved = [png(picture) for picture in image]
    change = reload(saved).to(batch.x) - batch.x
    _check(change, limits, mask)
    return Crafted(saved, Linf.size(change), found.forwards, found.backwards)


def _check(change: Tensor, limits: list[Ball], mask: Tensor | None) -> None:
    zero = torch.zeros_like(change)
    for ball in limits:
        outside = ~ball.contains(change, zero)
        if bool(outside.any()):
            largest = float(flat(change.abs())[outside].max()) * 255
            raise VaubanError(
                f"expected saved images within the bound of the attack, {int(outside.sum())} of {len(change)} leave it, "
                f"the farthest by {largest:.0f}/255 from its original; the attack does not respect its own bound"
            )
    if mask is not None and bool((change.where(~mask, zero) != 0).any()):
        raise VaubanError("expected saved images that are unchanged outside the mask, got changes there")


def reload(saved: list[bytes]) -> Tensor:
    """The float images `(batch, channel, height, width)` in [0,1] that PNG bytes decode to."""
    pixels = []
    for data in saved:
        with Image.open(io.BytesIO(data)) as opened:
            picture = torch.from_numpy(np.array(opened))
        pixels.append(picture[None] if picture.dim() == 2 else picture.permute(2, 0, 1))
    return torch.stack(pixels).to(torch.float32).div_(255)
