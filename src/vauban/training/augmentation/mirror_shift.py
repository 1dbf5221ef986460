"""Mirrored and shifted images, the augmentation usual for 32x32 images (He et al. 2016, arXiv:1512.03385, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.parameters import Whole
from vauban.core.rng import Stream
from vauban.training import registry
from vauban.training.recipe import RecipePart
from vauban.training.samples import DerivedSamples, TrainingSamples


@registry.register("mirror-shift")
@dataclass(frozen=True)
class MirrorShift(RecipePart):
    """A horizontal mirror image with probability 1/2, then a shift with zeros coming in, anew at every step.

    Attributes:
        reach: The largest shift along an axis, in pixels.
    """

    reach: Whole = 4

    def samples(self, data: TrainingSamples, seed: int) -> TrainingSamples:
        return _Shifted(data, self.reach, seed)


@dataclass(frozen=True, eq=False)
class _Shifted(DerivedSamples):
    reach: int
    seed: int

    def changed(self, batch: Batch, step: int) -> Batch:
        batch = self.data.changed(batch, step)
        return replace(batch, x=mirror_shift(batch.x, Stream(self.seed, batch.ids), step, self.reach))


def mirror_shift(x: Tensor, rng: Stream, step: int, reach: int) -> Tensor:
    """The images x `(batch, channel, height, width)` mirrored and shifted, anew at each step. Raises ContractError."""
    if x.dim() != 4:
        raise ContractError(f"expected images (batch, channel, height, width) for mirror-shift, got {tuple(x.shape)}")
    height, width = x.shape[2:]
    mirror = rng.integers("mirror", 2, t=step).bool()
    x = torch.where(mirror[:, None, None, None], x.flip(3), x)
    down, across = (rng.integers(tag, 2 * reach + 1, t=step) for tag in ("down", "across"))
    rows = (down[:, None] + torch.arange(height, device=x.device))[:, None, :, None]
    columns = (across[:, None] + torch.arange(width, device=x.device))[:, None, None, :]
    batch = torch.arange(len(x), device=x.device)[:, None, None, None]
    channel = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return F.pad(x, (reach,) * 4)[batch, channel, rows, columns]
