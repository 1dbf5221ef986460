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
    """Logical right shift of signed 64-bit integers by k bits."""
    return (z >> k) & ((1 << (64 - k)) - 1)


def _mix(z: Tensor) -> Tensor:
    """The SplitMix64 finaliser, a bijection of 64-bit integers."""
    z = (z ^ _shift(z, 30)) * _MIX1
    z = (z ^ _shift(z, 27)) * _MIX2
    return z ^ _shift(z, 31)


def fold(*words: int | str) -> int:
    """A signed 64-bit seed from a sequence of integers and strings, the same in every version and on every platform."""
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
    """Random numbers of the samples of a batch.

    Every method that draws takes a `tag`, which names the use, the `shape` of one sample's numbers and the counters `t`
    (a step) and `draw` (a repetition), and returns a tensor `(batch, *shape)`: the same arguments give the same numbers.

    Attributes:
        seed: The seed of the run.
        ids: Sample ids, int64 `(batch,)`.
        restart: The restart they are drawn for, see `fresh`.
    """

    seed: int
    ids: Tensor
    restart: int = 0

    def rows(self, index: Tensor) -> Stream:
        """The stream of some samples of the batch."""
        return replace(self, ids=self.ids[index])

    def fresh(self, restart: int) -> Stream:
        """A stream of independent numbers for another restart."""
        return replace(self, restart=fold(self.restart, "restart", restart))

    def bits(self, tag: str, shape: tuple[int, ...], t: int = 0, draw: int = 0) -> Tensor:
        """Uniform 64-bit integers, int64 `(batch, *shape)`."""
        key = _mix(_mix(self.ids + fold(self.seed, self.restart, tag)) + fold(t, draw))
        counter = torch.arange(1, math.prod(shape) + 1, device=self.ids.device)
        return _mix(key[:, None] + counter * _GAMMA).view(-1, *shape)

    def uniform(
        self, tag: str, shape: tuple[int, ...], t: int = 0, draw: int = 0, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Uniform numbers on [0, 1), `(batch, *shape)`."""
        digits = 1 - round(math.log2(torch.finfo(dtype).eps))  # of the significand, so that no value rounds to 1
        return _shift(self.bits(tag, shape, t, draw), 64 - digits).to(dtype) * 2.0**-digits

    def normal(
        self, tag: str, shape: tuple[int, ...], t: int = 0, draw: int = 0, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Standard normal numbers by the inverse distribution function, `(batch, *shape)`."""
        probability = (_shift(self.bits(tag, shape, t, draw), 12).double() + 0.5) * 2.0**-52  # exact, never 0 or 1
        quantile: Tensor = torch.special.ndtri(probability)
        return quantile.to(dtype)

    def signs(
        self, tag: str, shape: tuple[int, ...], t: int = 0, draw: int = 0, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """-1 or 1 with equal probability, `(batch, *shape)`."""
        return (_shift(self.bits(tag, shape, t, draw), 63) * 2 - 1).to(dtype)

    def integers(self, tag: str, high: int, shape: tuple[int, ...] = (), t: int = 0, draw: int = 0) -> Tensor:
        """Uniform integers in [0, high), int64 `(batch, *shape)`."""
        return (self.uniform(tag, shape, t, draw, torch.float64) * high).long()


@contextmanager
def seeded(*words: int | str, device: torch.device | str = "cpu") -> Iterator[None]:
    """Context in which torch's global generators are seeded with `fold(*words)`; afterwards they are as before.

    Only generator states are saved, set and restored: a few microseconds on a CPU. Nested uses restore in order.

    Args:
        words: The words of the seed.
        device: Where it is a CUDA device, its generator is seeded beside the CPU's.
    """
    seed = fold(*words) % 2**63
    cpu_state = torch.get_rng_state()
    target = torch.device(device)
    cuda_state = torch.cuda.get_rng_state(target) if target.type == "cuda" else None
    try:
        torch.default_generator.manual_seed(seed)
        if cuda_state is not None:
            index = torch.cuda.current_device() if target.index is None else target.index
            torch.cuda.default_generators[index].manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(cpu_state)
        if cuda_state is not None:
            torch.cuda.set_rng_state(cuda_state, target)
