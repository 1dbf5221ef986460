"""Batch size by the size of the images, and on an accelerator by what its memory holds."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from vauban.core.errors import NoGradient
from vauban.core.rng import seeded
from vauban.data import Dataset
from vauban.engine.first_answer import out_of_memory
from vauban.engine.network import differentiate, quiet

log = logging.getLogger("vauban")
LARGEST = 4096
"""Images of the largest batch that is looked for: a part is lost by a kill, and finished images leave a batch."""
SEARCHED = ("cuda",)
"""Types of the devices on which is looked for a size; a CPU gains nothing from batches beyond its caches."""


def automatic_batch_size(data: Dataset) -> int:
    """A power of two from 8 to 256 that holds about two million components."""
    features = max(1, torch.Size(data.shape).numel())
    return int(min(256, max(8, 2 ** (2_000_000 // features).bit_length() // 2)))


def largest_fitting(fits: Callable[[int], bool], first: int, most: int) -> int:
    """The largest of first, 2 first, 4 first ... that fits, not doubled from `most` on; else the first half that does."""
    size = first
    if fits(size):
        while size < most and fits(2 * size):
            size *= 2
        return size
    while size > 1 and not fits(size):
        size //= 2
    return size


def is_searched(device: str) -> bool:
    """Whether a size is looked for on a device."""
    return torch.device(device).type in SEARCHED


def searched_batch_size(
    networks: Mapping[str, nn.Module], data: Dataset, device: str, known: Mapping[str, int]
) -> tuple[int, dict[str, int]]:
    """The batch size that the memory of an accelerator holds.

    The largest of `automatic_batch_size`, its double ... up to `LARGEST` with which, and a quarter more images, every
    network can be differentiated: what an attack keeps of an image is little beside that, and the runner halves what does
    not fit.

    Args:
        networks: The defended networks on the device, by their labels.
        data: The data set.
        device: The device.
        known: Sizes that were looked for before: a run that is resumed takes the same.

    Returns:
        The size, and the sizes that are known now.
    """
    usual, of_networks = automatic_batch_size(data), list(networks.values())
    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device
    key = " | ".join([name, "x".join(map(str, data.shape)), *networks])
    if key not in known:
        most = min(LARGEST, max(1, len(data)))
        size = largest_fitting(lambda n: _fit(of_networks, data, device, n + n // 4), usual, most)
        log.info("batch size %d: the largest that the memory of %s holds, up to %d images", size, name, most)
        known = {**known, key: size}
    return known[key], dict(known)


def _through(network: nn.Module, x: Tensor) -> None:
    """Forwards and backwards; forwards alone through a network without a gradient."""
    with contextlib.suppress(NoGradient):
        differentiate(network, x, [lambda z: z.logsumexp(1)])


def _fit(networks: Sequence[nn.Module], data: Dataset, device: str, images: int) -> bool:
    """Whether so many images go forwards and backwards through each network at once."""
    image = data.take(1).x.to(device)
    try:
        for network in networks:
            with quiet(list(network.modules())), seeded("batch size", device=image.device):
                _through(network, image.repeat(images, *[1] * (image.dim() - 1)))
        return True
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return False
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
