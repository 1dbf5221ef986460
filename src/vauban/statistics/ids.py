"""Ids of samples, in increasing order: those that any of several cells has.

The cells of a study have the same ids in the same increasing order nearly always, which is looked for first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vauban.statistics.intervals import Array


def increasing(ids: Array) -> bool:
    """Whether ids `(n,)` are in increasing order, each once."""
    return bool((ids[1:] > ids[:-1]).all())


def ids_of_any(several: Sequence[Array]) -> Array:
    """The ids that any of several arrays `(n,)` has, each once, in increasing order; no array has none."""
    if not several:
        return np.empty(0, np.int64)
    first = np.asarray(several[0])
    if increasing(first) and all(np.array_equal(first, other) for other in several[1:]):
        return first
    return np.unique(np.concatenate(several))
