"""Two-sample test: whether two sets of images come from one distribution, by their maximum mean discrepancy (MMD)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from vauban.core.arguments import NamedArguments, named_arguments
from vauban.core.errors import ContractError
from vauban.core.parameters import Count, Positive, Range, check
from vauban.core.rng import Stream, fold
from vauban.statistics.intervals import wilson

BLOCK = 2**22  # numbers of the permutations that are held at a time


@dataclass(frozen=True)
class TwoSampleTest(NamedArguments):
    """The result of a test.

    Attributes:
        mmd: Squared discrepancy, 0 for equal sets.
        p_value: Share of the permutations, the identity among them, whose discrepancy is at least as large.
        bandwidth: s of the kernel.
        permutations: Drawn ones.
    """

    mmd: float
    p_value: float
    bandwidth: float
    permutations: int


@dataclass(frozen=True)
class Power(NamedArguments):
    """How often a test rejects, for one size of the sets.

    Attributes:
        size: Images in each set.
        power: Share of the repetitions whose p-value is at most the level.
        low, high: The 95 % interval of it (Wilson).
        repetitions: Number of tests.
    """

    size: int
    power: float
    low: float
    high: float
    repetitions: int


@named_arguments
def two_sample_test(
    x: Tensor, y: Tensor, *, bandwidth: float | None = None, permutations: int = 1000, seed: int = 0
) -> TwoSampleTest:
    """Test that two sets of images come from one distribution: Gretton's kernel test, with p-values by permutation.

    MMD^2 = mean k(x_i, x_j) + mean k(y_i, y_j) - 2 mean k(x_i, y_j), k(a, b) = exp(-||a - b||^2 / (2 s^2)), i = j included
    (the biased estimate). p = (1 + number of permutations of the pooled images with an MMD^2 of at least that) / (1 +
    permutations), so that it is at most a level with at most that probability where both sets are of one distribution.
    It judges sets, not images. Grosse, Manoharan, Papernot, Backes, McDaniel 2017, arXiv:1702.06280, section 5; Gretton,
    Borgwardt, Rasch, Schoelkopf, Smola 2012, JMLR 13.

    Args:
        x: Images `(n, ...)`.
        y: Images `(m, ...)` of the same shape.
        bandwidth: s; None: the median distance of two different images of the pooled set.
        permutations: Random ones; the paper draws 10 000.
        seed: Of the permutations.

    Raises:
        ContractError: Fewer than two images in a set, other shapes, or values that are not finite.
    """
    check("two_sample_test", "bandwidth", bandwidth, Positive | None)
    check("two_sample_test", "permutations", permutations, Count)
    check("two_sample_test", "seed", seed, int)
    pooled = _pooled(x, y)
    squared = torch.cdist(pooled, pooled).square()
    s = _median(squared) if bandwidth is None else float(bandwidth)
    kernel = (squared / (-2 * s**2)).exp()
    return _tested(kernel, torch.arange(len(pooled)), len(x), s, permutations, seed)


@named_arguments
def two_sample_power(
    x: Tensor,
    y: Tensor,
    sizes: Sequence[int],
    *,
    level: float = 0.05,
    repetitions: int = 100,
    bandwidth: float | None = None,
    permutations: int = 200,
    seed: int = 0,
) -> tuple[Power, ...]:
    """How often `two_sample_test` tells the two sets apart, against the number of images that it is given of each.

    Each repetition draws as many images of both sets without replacement. The bandwidth is that of all images.

    Args:
        x: Images `(n, ...)`.
        y: Images `(m, ...)` of the same shape; those of the first kind again give the level.
        sizes: Images of each set, at most n and m.
        level: Largest p-value that rejects.
        repetitions: Tests for each size.
        bandwidth, permutations, seed: As of `two_sample_test`.

    Raises:
        ContractError: As `two_sample_test`; or a size below 2 or above that of a set.
    """
    check("two_sample_power", "level", level, Annotated[float, Range(0, 1, open_low=True, open_high=True)])
    check("two_sample_power", "repetitions", repetitions, Count)
    check("two_sample_power", "bandwidth", bandwidth, Positive | None)
    check("two_sample_power", "permutations", permutations, Count)
    check("two_sample_power", "seed", seed, int)
    check("two_sample_power", "sizes", tuple(sizes), tuple[Annotated[int, Range(2, min(len(x), len(y)))], ...])
    pooled = _pooled(x, y)
    squared = torch.cdist(pooled, pooled).square()
    s = _median(squared) if bandwidth is None else float(bandwidth)
    kernel, points = (squared / (-2 * s**2)).exp(), []
    for size in sizes:
        stream = Stream(fold(seed, "sizes", size), torch.arange(repetitions, device=pooled.device))
        first = stream.uniform("x", (len(x),), dtype=torch.float64).argsort(1)[:, :size]
        second = len(x) + stream.uniform("y", (len(y),), dtype=torch.float64).argsort(1)[:, :size]
        rejected = sum(
            _tested(kernel, rows, size, s, permutations, fold(seed, "power", size, at)).p_value <= level
            for at, rows in enumerate(torch.cat([first, second], 1))
        )
        low, high = wilson(rejected, repetitions)
        points.append(Power(size, rejected / repetitions, low, high, repetitions))
    return tuple(points)


def _pooled(x: Tensor, y: Tensor) -> Tensor:
    """Both sets as rows, float64. Raises ContractError."""
    if min(len(x), len(y)) < 2 or x.shape[1:] != y.shape[1:]:
        raise ContractError(
            f"expected two sets of at least two images of one shape, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    pooled = torch.cat([x, y]).flatten(1).double()
    if not bool(pooled.isfinite().all()):
        raise ContractError("expected finite images for a two-sample test, got nan or infinity")
    return pooled


def _median(squared: Tensor) -> float:
    """The median distance of two different images; 1 where all are the same."""
    apart = torch.triu_indices(len(squared), len(squared), offset=1)
    return float(squared[apart[0], apart[1]].median().sqrt()) or 1.0


def _tested(kernel: Tensor, rows: Tensor, first: int, s: float, permutations: int, seed: int) -> TwoSampleTest:
    """The test on some rows of the kernel matrix, of which the first `first` are those of x."""
    among, n = kernel[rows][:, rows], len(rows)
    weights = torch.full((n,), -1.0 / (n - first), dtype=kernel.dtype, device=kernel.device)
    weights[:first] = 1.0 / first
    own, larger = float(weights @ among @ weights), 0
    for numbers in torch.split(torch.arange(permutations, device=kernel.device), max(1, BLOCK // n)):
        order = Stream(seed, numbers).uniform("permutation", (n,), dtype=torch.float64).argsort(1)
        permuted = weights[order]
        values = ((permuted @ among) * permuted).sum(1)
        larger += int((values >= own - 1e-12).sum())  # the same sets in another order round differently
    return TwoSampleTest(max(own, 0.0), (1 + larger) / (1 + permutations), s, permutations)
