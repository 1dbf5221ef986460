"""Adversarial versions of a whole training set, made on the network as it stands between two epochs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.rng import fold
from vauban.engine import Oracle
from vauban.engine.attack import Attack
from vauban.engine.network import quiet
from vauban.engine.samples import Samples, as_samples, device_of
from vauban.engine.threat import BoundThreat
from vauban.training.loop import Beside

BYTE = 256  # pixel levels that one byte holds


@dataclass(frozen=True, eq=False)
class AdversarialSet:
    """Adversarial images in the CPU's memory, with the labels and ids of the samples they were made from.

    values: the level of every pixel as uint8 where levels <= 256, one byte per component (MNIST 47 MB, CIFAR-10 154 MB);
    else the images as they are (float32: four bytes). dtype: of the images handed out.
    """

    values: Tensor
    y: Tensor
    ids: Tensor
    levels: int | None
    dtype: torch.dtype = torch.float32

    def __len__(self) -> int:
        return len(self.y)

    def batch(self, index: Tensor) -> Batch:
        x = self.values[index]
        if self.levels is not None and x.dtype == torch.uint8:
            x = x.to(self.dtype).div_(self.levels - 1)
        return Batch(x, self.y[index], self.ids[index], self.levels)


def adversarial_set(
    attack: Attack, module: nn.Module, data: Samples | Batch, *, seed: int = 0, batch: int = 250
) -> AdversarialSet:
    """The adversarial version of every sample, by `attack` with its own parameters and its own rule of stopping.

    The network is frozen: evaluation mode, no gradient for any parameter, everything as before afterwards. The door
    rounds to the data's pixel grid at every query, so the images are what a file could hold. An attack for the nearest
    image hands over its nearest success, one at a fixed budget what `Result.crafted` is for it (FGSM: the end of the
    step; PGD: the first success, after which the row costs nothing more). An image that is not turned is used as the attack
    leaves it, its last iterate; one that is misclassified before is its own nearest adversarial version. Random numbers
    are keyed by (seed, id): `batch` changes speed and memory, and the images by no more than the network's rounding errors.
    """
    samples = as_samples(data)
    device = device_of(module)
    values, labels, ids = [], [], []
    with frozen(module):
        for index in torch.split(torch.arange(len(samples)), batch):
            sample = samples.batch(index).to(device)
            oracle = Oracle.open(
                BoundThreat(module, levels=sample.levels), sample.x, sample.y, ids=sample.ids, seed=seed
            )
            values.append(_packed(attack.run(oracle).crafted, sample.levels).cpu())
            labels.append(sample.y.cpu())
            ids.append(sample.ids.cpu())
    return AdversarialSet(torch.cat(values), torch.cat(labels), torch.cat(ids), sample.levels, sample.x.dtype)


def regenerated(
    attack: Attack, data: Samples | Batch, *, seed: int = 0, first: bool = False, batch: int = 250
) -> Beside:
    """Adversarial training by epochs: each epoch sees the originals and what `adversarial_set` made of all of them just before.

    Section 5.5 of the thesis: at the end of an epoch the network is frozen, adversarial versions of the whole training set
    are made with the reference attack, and the next epoch trains on the originals plus these. The first epoch has the
    originals only, unless `first` (a network that is already trained). One set of random numbers per epoch.
    """

    def beside(module: nn.Module, number: int) -> Samples | None:
        if number == 0 and not first:
            return None
        return adversarial_set(attack, module, data, seed=fold(seed, "forge", number), batch=batch)

    return beside


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Evaluation mode and parameters without gradients; modes and flags are restored afterwards."""
    thawed = [p for p in module.parameters() if p.requires_grad]
    for p in thawed:
        p.requires_grad_(False)
    try:
        with quiet(list(module.modules())):
            yield
    finally:
        for p in thawed:
            p.requires_grad_(True)


def _packed(x: Tensor, levels: int | None) -> Tensor:
    return x if levels is None or levels > BYTE else (x * (levels - 1)).round_().to(torch.uint8)
