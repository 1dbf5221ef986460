"""Samples that can be trained and measured on: a vauban data set, a part of one, or a `Batch` in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from vauban.core.answers import predicted
from vauban.core.contracts import Batch, check_logits
from vauban.engine.network import quiet, shown


class Samples(Protocol):
    """Samples by position; `vauban.data.Dataset` is one."""

    def __len__(self) -> int: ...
    def batch(self, index: Tensor) -> Batch: ...


@dataclass(frozen=True, eq=False)
class Subset:
    """Some samples of a larger collection (a whole `Batch` included), by their positions.

    Attributes:
        whole: The collection.
        index: Positions in it, int64 `(samples,)`.
    """

    whole: Samples | Batch
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, index: Tensor) -> Batch:
        picked = self.index[index]
        if isinstance(self.whole, Batch):
            held = self.whole
            picked = picked.to(held.x.device)
            return Batch(held.x[picked], held.y[picked], held.ids[picked], held.levels)
        return self.whole.batch(picked)


@dataclass(frozen=True, eq=False)
class Concatenated:
    """Samples of one collection, then those of another.

    Attributes:
        first: The collection that comes first.
        second: The one after it.
    """

    first: Samples
    second: Samples

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def batch(self, index: Tensor) -> Batch:
        late = index >= len(self.first)
        picked = [(self.first, index[~late]), (self.second, index[late] - len(self.first))]
        parts = [samples.batch(rows) for samples, rows in picked if len(rows)]
        place = late.long().argsort(stable=True).argsort()  # of each position asked for, among the parts
        device = parts[0].x.device
        place = place.to(device)
        x, y, ids = (torch.cat([getattr(part, k).to(device) for part in parts])[place] for k in ("x", "y", "ids"))
        return Batch(x, y, ids, parts[0].levels)


def as_samples(data: Samples | Batch) -> Samples:
    """Samples of a `Batch`, which can be sampled from; anything else is returned as it is."""
    return Subset(data, torch.arange(len(data))) if isinstance(data, Batch) else data


def device_of(module: nn.Module) -> torch.device:
    """Device of the module's parameters (the CPU where it has none)."""
    return next((p.device for p in module.parameters()), torch.device("cpu"))


@torch.no_grad()
def accuracy(module: nn.Module, data: Samples | Batch, batch: int = 256) -> float:
    """Share of samples that a module labels correctly in evaluation mode; its modes are restored after.

    Args:
        module: The network.
        data: Samples with labels.
        batch: Number of samples that are asked at once.
    """
    samples = as_samples(data)
    with quiet(list(module.modules())):
        right = [
            (predicted(check_logits(module(shown(module, b.x.clone())), len(b))) == b.y).sum()
            for index in torch.split(torch.arange(len(samples)), batch)
            for b in [samples.batch(index).to(device_of(module))]
        ]
    return int(torch.stack(right).sum()) / len(samples)
