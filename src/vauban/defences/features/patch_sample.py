"""Sample of patches from a stream of images: drawn without replacement, of a size that does not grow with the stream."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.contracts import Batch
from vauban.core.rng import Stream


class PatchSample:
    """The places with the smallest of random keys, one for every place of every image, and the patches there.

    A key depends on seed, image and place alone: so does the sample, however the images are divided into batches and
    whatever their order. The same places count in every slice.

    Args:
        size: Side of a patch in pixels.
        most: Places that are kept.
        seed: Of the keys.

    Attributes:
        places: Places seen so far.
        patches: `(kept, D, size, size)`, in the order of their keys; None before the first image.
    """

    def __init__(self, size: int, most: int, seed: int) -> None:
        self.size, self.most, self.seed = size, most, seed
        self.places = 0
        self.patches: Tensor | None = None
        self._keys = torch.empty(0, dtype=torch.int64)

    def add(self, feature: Tensor, batch: Batch) -> None:
        """Take the places of a batch into account.

        Args:
            feature: `(batch, D, H, W)` of its images.
            batch: The images.
        """
        down, across = (length - self.size + 1 for length in feature.shape[2:])
        keys = Stream(self.seed, batch.ids.to(feature.device)).bits("patch", (down * across,)).flatten()
        self.places += len(keys)
        if self.patches is None:
            self.patches, self._keys = feature.new_empty(0, feature.shape[1], self.size, self.size), keys[:0]
        every = torch.cat([self._keys, keys])
        kept = every.argsort(stable=True)[: self.most]
        old = len(self._keys)
        new = kept[kept >= old] - old
        image, place = new // (down * across), new % (down * across)
        taken = self._cut(feature, image, place // across, place % across)
        rank = torch.empty_like(kept)
        rank[torch.cat([(kept < old).nonzero().squeeze(1), (kept >= old).nonzero().squeeze(1)])] = torch.arange(
            len(kept), device=kept.device
        )
        self.patches = torch.cat([self.patches[kept[kept < old]], taken])[rank]
        self._keys = every[kept]

    def _cut(self, feature: Tensor, image: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """The patches at some places, `(n, D, size, size)`."""
        span = torch.arange(self.size, device=feature.device)
        rows, columns = top[:, None, None] + span[:, None], left[:, None, None] + span
        return feature[image[:, None, None], :, rows, columns].permute(0, 3, 1, 2)
