"""Code that draws from the global generators (initialisation, dropout) under a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vauban.core.rng import fold


@contextmanager
def seeded(*words: int | str, device: torch.device | str = "cpu") -> Iterator[None]:
    """Inside, torch's CPU generator (and that of `device`, a CUDA one) is seeded with fold(*words); after, as before.

    Only generator states are saved, set and restored: a few microseconds on a CPU. Nested uses restore in order.
    """
    seed = fold(*words) % 2**63
    cpu = torch.get_rng_state()
    place = torch.device(device)
    cuda = torch.cuda.get_rng_state(place) if place.type == "cuda" else None
    try:
        torch.default_generator.manual_seed(seed)
        if cuda is not None:
            index = torch.cuda.current_device() if place.index is None else place.index
            torch.cuda.default_generators[index].manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, place)
