"""Adversarial versions of a whole training set, made on the network as it stands between two epochs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.precision import working_type
from vauban.engine import Oracle
from vauban.engine.attack import Attack
from vauban.engine.network import quiet
from vauban.engine.samples import Samples, as_samples, device_of
from vauban.engine.threat import BoundThreat

BYTE = 256  # pixel levels that one byte holds


@dataclass(frozen=True, eq=False)
class AdversarialSet:
    """Adversarial images in the CPU's memory, with the labels and ids of the samples they were made from.

    Attributes:
        values: The level of every pixel as uint8 where levels <= 256, one byte per component (MNIST 47 MB, CIFAR-10
            154 MB); else the images as they are (float32: four bytes).
        y: Labels int64 `(samples,)`.
        ids: Sample ids int64 `(samples,)`.
        levels: Pixel levels of the data; None for continuous data.
        dtype: Of the images handed out.
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
            x = x.to(working_type(self.dtype)).div_(self.levels - 1).to(self.dtype)
        return Batch(x, self.y[index], self.ids[index], self.levels)


def adversarial_set(
    attack: Attack, module: nn.Module, data: Samples | Batch, *, seed: int = 0, batch: int = 250
) -> AdversarialSet:
    """The adversarial version of every sample, by `attack` with its own parameters and its own rule of stopping.

    The network is frozen: evaluation mode, no gradient for any parameter, everything as before afterwards. The oracle
    rounds to the data's pixel grid at every query, so the images are what a file could hold; those of an attack that does
    not round (`Attack.rounded`) are kept as they are. An attack for the nearest image hands over its nearest success, one
    at a fixed budget what `Result.crafted` is for it (FGSM: the end of the step; PGD: the first success, after which the
    row costs nothing more). An image that is not turned is used as the attack leaves it, its last iterate; one that is
    misclassified before is its own nearest adversarial version.

    Args:
        attack: Makes the images.
        module: The network.
        data: The originals.
        seed: Of the random numbers, which are keyed by (seed, id).
        batch: Images at a time: changes speed and memory, and the images by no more than the network's rounding errors.
    """
    samples = as_samples(data)
    device = device_of(module)
    values, labels, ids, levels = [], [], [], None
    with frozen(module):
        for index in torch.split(torch.arange(len(samples)), batch):
            sample = samples.batch(index).to(device)
            oracle = Oracle.open(
                BoundThreat(module, levels=sample.levels), sample.x, sample.y, ids=sample.ids, seed=seed
            )
            made = attack.run(oracle).crafted.to(sample.x.dtype)
            levels = sample.levels if attack.rounded else None
            values.append(_packed(made, levels).cpu())
            labels.append(sample.y.cpu())
            ids.append(sample.ids.cpu())
    return AdversarialSet(torch.cat(values), torch.cat(labels), torch.cat(ids), levels, sample.x.dtype)


def attacked_accuracy(
    attack: Attack, module: nn.Module, data: Samples | Batch, *, seed: int = 0, batch: int = 250
) -> float:
    """Share of samples that a network labels right and that an attack with white-box access leaves so.

    Args:
        attack: Runs by its own parameters and its own rule of stopping, on the pixel grid of the data.
        module: The network, frozen meanwhile as in `adversarial_set`.
        data: Samples.
        seed: Of the random numbers, which are keyed by (seed, id).
        batch: Images at a time.
    """
    samples = as_samples(data)
    device, stood = device_of(module), 0
    with frozen(module):
        for index in torch.split(torch.arange(len(samples)), batch):
            sample = samples.batch(index).to(device)
            threat = BoundThreat(module, levels=sample.levels)
            oracle = Oracle.open(threat, sample.x, sample.y, ids=sample.ids, seed=seed)
            right = ~oracle.goal.reached(oracle.clean_logits())
            stood += int((right & ~attack.run(oracle).success).sum())
    return stood / len(samples)


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
    return (
        x if levels is None or levels > BYTE else (x.to(working_type(x.dtype)) * (levels - 1)).round_().to(torch.uint8)
    )
