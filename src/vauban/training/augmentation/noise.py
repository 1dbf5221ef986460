"""Gaussian data augmentation, GDA (Zantedeschi, Nicolae and Rawat 2017, arXiv:1707.06728, section 3.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.parameters import Count, NonNegative
from vauban.core.rng import Stream
from vauban.engine.samples import Samples
from vauban.training import registry
from vauban.training.recipe import RecipePart
from vauban.training.samples import DerivedSamples, TrainingSamples, UnclippedBatch


@registry.register("gda")
@dataclass(frozen=True)
class GaussianAugmentation(RecipePart):
    """Noisy copies of every sample beside it, x + sigma e: the loss is averaged over a neighbourhood of each image.

    The copies are made as they are asked for and never held. Section 4.1 of the paper has n = 10, sigma = 0.3 for MNIST and
    0.05 for CIFAR-10, beside the originals; its objective (section 3.2) has the copies alone.

    Attributes:
        sigma: Standard deviation of a component, in pixel units.
        n: Copies of each sample.
        noise: "gaussian", or "uniform" on [-sigma sqrt(3), sigma sqrt(3)], which has the same variance.
        fresh: Whether the noise is drawn anew in each epoch; else once, by sample and copy.
        clip: Whether the copies are clipped to [0,1].
        originals: Whether the originals stay.
    """

    sigma: NonNegative = 0.3
    n: Count = 10
    noise: Literal["gaussian", "uniform"] = "gaussian"
    fresh: bool = False
    clip: bool = True
    originals: bool = True

    def samples(self, data: TrainingSamples, seed: int) -> TrainingSamples:
        return _WithCopies(data, self, seed)


@dataclass(frozen=True, eq=False)
class _Copies:
    """Samples, and copies of them behind each other: sample i of copy c at position c * len(data) + i.

    Attributes:
        data: The originals, copy 0 where the part has them.
        part: What is added.
        seed: Of the noise.
        epoch: Number that fresh noise is drawn for.
    """

    data: Samples
    part: GaussianAugmentation
    seed: int
    epoch: int

    def __len__(self) -> int:
        return (self.part.n + self.part.originals) * len(self.data)

    def batch(self, index: Tensor) -> Batch:
        batch, copy = self.data.batch(index % len(self.data)), index // len(self.data) + (not self.part.originals)
        rows = copy.nonzero().squeeze(1).to(batch.x.device)
        ids = Stream(self.seed, batch.ids[rows]).bits("copy", (self.part.n,)) & (2**63 - 1)
        ids = ids.gather(1, copy[copy > 0].to(rows.device)[:, None] - 1).squeeze(1)
        noisy = batch.x[rows] + self.part.sigma * self._noise(ids, batch.x)
        x, own = batch.x.clone(), batch.ids.clone()
        x[rows], own[rows] = noisy.clamp(0, 1) if self.part.clip else noisy, ids
        return (Batch if self.part.clip else UnclippedBatch)(x, batch.y, own, None)

    def _noise(self, ids: Tensor, x: Tensor) -> Tensor:
        """Noise of variance 1, `(copies, ...)`."""
        u = halves(Stream(self.seed, ids), math.prod(x.shape[1:]), self.epoch)
        made = normal_pairs(*u) if self.part.noise == "gaussian" else math.sqrt(12) * (torch.cat(u, 1) - 0.5)
        return made[:, : math.prod(x.shape[1:])].view(-1, *x.shape[1:]).to(x.dtype)


def halves(stream: Stream, size: int, t: int) -> tuple[Tensor, Tensor]:
    """Two uniform numbers on [0, 1] from each 64 random bits, float32 `(batch, size / 2)`, rounded up, each.

    Half the time of `Stream.uniform`, with the 24 digits of float32 either way.
    """
    bits = stream.bits("noise", ((size + 1) // 2,), t).view(torch.int32).view(len(stream.ids), -1, 2)
    u = bits.to(torch.float32).mul_(2.0**-32).add_(0.5)
    return u[..., 0], u[..., 1]


def normal_pairs(u: Tensor, v: Tensor) -> Tensor:
    """Normal numbers from uniform ones of the same shape, `(batch, 2 columns)` (Box and Muller 1958).

    Their largest is 6.8; `Stream.normal`, exact further out, takes four times as long.
    """
    radius, angle = u.clamp_min(2.0**-33).log().mul_(-2).sqrt_(), 2 * math.pi * v
    return torch.cat([radius * angle.cos(), radius * angle.sin()], 1)


@dataclass(frozen=True, eq=False)
class _WithCopies(DerivedSamples):
    part: GaussianAugmentation
    seed: int

    def __len__(self) -> int:
        return len(_Copies(self.data, self.part, self.seed, 0))

    def batch(self, index: Tensor) -> Batch:
        return _Copies(self.data, self.part, self.seed, 0).batch(index)

    def epoch(self, network: nn.Module, number: int) -> Samples:
        return _Copies(self.data.epoch(network, number), self.part, self.seed, number if self.part.fresh else 0)
