"""Crafting one batch: the attack, the last clip, 8 bits, the file that is stored, and the check of its bound."""

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
from vauban.core.norms import L2, Ball, Linf
from vauban.core.pictures import png
from vauban.core.pixel_grid import PixelGrid
from vauban.core.tensors import flat
from vauban.engine import BoundThreat, Oracle
from vauban.evaluate.handover import handed_over
from vauban.reproduce.declarations import Craft, FitOnUse
from vauban.reproduce.masks import mask_of

LEVELS = 256
NPY = b"\x93NUMPY"  # what such a file begins with


@dataclass(frozen=True)
class Crafted:
    """The saved images of a batch as files, PNG or NPY, the largest and the Euclidean change `(batch,)` in pixels of [0,1]
    of the images as reloaded, and the passes."""

    image: list[bytes]
    linf: Tensor
    l2: Tensor
    forwards: Tensor
    backwards: Tensor


def bounds(craft: Craft, x: Tensor) -> list[Ball]:
    """The L-infinity balls, bound to x, that the saved images must not leave."""
    attack: Any = craft.attack
    balls = [attack.ball]
    balls += [None if size is None else Linf(size) for size in (getattr(attack, "box", None), craft.clip)]
    return [ball.bind(x) for ball in balls if isinstance(ball, Ball) and ball.norm is Linf]


def craft_batch(craft: Craft, threat: BoundThreat, batch: Batch, target: Tensor, seed: int) -> Crafted:
    """The images of a batch as they would be saved.

    keep="last": step attacks run to their last iterate and hand that over. keep="best": an attack stops where it would and
    hands over its success, where it knows of none what it made. Raises VaubanError where a saved image leaves its bound or
    its mask.
    """
    if craft.saved == "png" and batch.levels != LEVELS:
        raise ContractError(f"expected images of {LEVELS} pixel levels, which PNG can hold, got levels={batch.levels}")
    mask = mask_of(craft.mask, batch.x)
    goal = Targeted(target) if craft.targeted else Untargeted()
    oracle = Oracle.open(threat, batch.x, batch.y, goal, batch.ids, seed, mask)
    if isinstance(craft.attack, FitOnUse):
        raise ContractError(f"expected an attack that is fitted, got {craft.attack}; it is fitted before it crafts")
    result, image = handed_over(craft.attack, oracle, craft.keep)
    limits = bounds(craft, batch.x)
    if craft.clip is not None:
        image = image.clamp(batch.x - craft.clip, batch.x + craft.clip)
    if craft.saved == "png":
        for ball in limits:  # to the nearest grid point inside the ball: 0.1 is 25.5/255
            image = PixelGrid(LEVELS, batch.x, ball).round(image)
    saved = [png(picture) if craft.saved == "png" else npy(picture) for picture in image]
    change = reload(saved).to(batch.x) - batch.x
    _check(change, limits, mask)
    return Crafted(saved, Linf.size(change), L2.size(change.double()), result.forwards, result.backwards)


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


def npy(image: Tensor) -> bytes:
    """An image as the bytes of an NPY file of float32, lossless."""
    buffer = io.BytesIO()
    np.save(buffer, image.detach().to("cpu", torch.float32).numpy())
    return buffer.getvalue()


def reload(saved: list[bytes]) -> Tensor:
    """The float images `(batch, channel, height, width)` in [0,1] that PNG or NPY bytes decode to."""
    return torch.stack([_decoded(data) for data in saved])


def _decoded(data: bytes) -> Tensor:
    if data.startswith(NPY):
        return torch.from_numpy(np.load(io.BytesIO(data), allow_pickle=False))
    with Image.open(io.BytesIO(data)) as opened:
        picture = torch.from_numpy(np.array(opened))
    return (picture[None] if picture.dim() == 2 else picture.permute(2, 0, 1)).to(torch.float32).div_(255)
