"""Counter-based random numbers: a sample draws the same ones in any batch, shard, order or process.

Component j of sample i is output j of the SplitMix64 generator (Steele, Lea, Flood, OOPSLA 2014) whose seed is a hash of
(seed, id, restart, t, draw, tag). Integer arithmetic is exact, so every device gives the same bits. The global generator
is never touched.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

_GAMMA = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MIX1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX2 = -7723592293110705685  # 0x94D049BB133111EB
_MASK = 2**64 - 1


def _shift(z: Tensor, k: int) -> Tensor:
    """Logical right shift of signed 64-bit integers."""
    return (z >> k) & ((1 << (64 - k)) - 1)


def _mix(z: Tensor) -> Tensor:
    """The SplitMix64 finaliser, a bijection of 64-bit integers."""
    z = (z ^ _shift(z, 30)) * _MIX1
    z = (z ^ _shift(z, 27)) * _MIX2
    return z ^ _shift(z, 31)


def fold(*words: int | str) -> int:
    """One signed 64-bit seed from a sequence of integers and strings, stable across versions and platforms."""
    state = 0
    for word in words:
        value = zlib.crc32(word.encode()) if isinstance(word, str) else word
        z = ((state + _GAMMA) ^ value) & _MASK
        z = ((z ^ (z >> 30)) * _MIX1) & _MASK
        z = ((z ^ (z >> 27)) * _MIX2) & _MASK
        state = z ^ (z >> 31)
    return state - 2**64 if state >= 2**63 else state


@dataclass(frozen=True)
class Stream:
    """Random numbers for the samples `ids` `(batch,)`: every method returns a `(batch, *shape)` tensor."""

    seed: int
    ids: Tensor
    restart: int = 0

    def rows(self, index: Tensor) -> Stream:
        return replace(self, ids=self.ids[index])

    def fresh(self, restart: int) -> Stream:
        """Independent numbers for another restart."""
        return replace(self, restart=fold(self.restart, "restart", restart))

    def bits(self, tag: str, shape: tuple[int, ...], t: int = 0, draw: int = 0) -> Tensor:
        """Uniform 64-bit integers."""
        key = _mix(_mix(self.ids + fold(self.seed, self.restart, tag)) + fold(t, draw))
        counter = torch.arange(1, math.prod(shape) + 1, device=self.ids.device)
        return _mix(key[:, None] + counter * _GAMMA).view(-1, *shape)

    def uniform(
        self, tag: str, shape: tuple[int, ...], t: int = 0, draw: int = 0, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Uniform on [0, 1)."""
        digits = 1 - round(math.log2(torch.finfo(dtype).eps))  # of the significand, so that no value rounds to 1
        return _shift(self.bits(tag, shape, t, draw), 64 - digits).to(dtype) * 2.0**-digits

    def normal(
        self, tag: str, shape: tuple[int, ...], t: int = 0, draw: int = 0, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Standard normal, by the inverse distribution function."""
        u = (_shift(self.bits(tag, shape, t, draw), 12).double() + 0.5) * 2.0**-52  # exact, never 0 or 1
        quantile: Tensor = torch.special.ndtri(u)
        return quantile.to(dtype)

    def signs(
        self, tag: str, shape: tuple[int, ...], t: int = 0, draw: int = 0, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """-1 or 1 with equal probability."""
        return (_shift(self.bits(tag, shape, t, draw), 63) * 2 - 1).to(dtype)

    def integers(self, tag: str, high: int, shape: tuple[int, ...] = (), t: int = 0, draw: int = 0) -> Tensor:
        """Uniform integers in [0, high), int64."""
        return (self.uniform(tag, shape, t, draw, torch.float64) * high).long()


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
