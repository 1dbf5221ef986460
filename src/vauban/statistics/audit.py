"""Audit of an attack that spares samples: how many of them were given all of it, and how many it then broke."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vauban.core.errors import plural
from vauban.statistics.intervals import Array
from vauban.statistics.summary import Columns, aimed

LEVEL = 0.95
LEAST, SHARE = 30, 0.1  # samples of those spared that are audited: at least so many, and this share


@dataclass(frozen=True)
class Audit:
    """What an audit says.

    Attributes:
        spared: Samples that the attack spared, audited ones included.
        audited: Those that were given all of it afterwards.
        missed: Those of them that it broke.
        bound: Upper end of the one-sided 95 % interval of the share of `spared` that all of the attack breaks: exact for a
            sample drawn without replacement, the largest M / spared with P(at most `missed` among `audited` | M) > 5 %, of
            the hypergeometric distribution.
        pending: Whether fewer were audited than the rule asks for.
    """

    spared: int
    audited: int
    missed: int
    bound: float
    pending: bool

    def __str__(self) -> str:
        if self.pending:
            return f"{plural(self.spared, 'image')} spared, {self.audited} of them audited: run the same command again"
        rest = f"at most {100 * self.bound:.1f} % of the {self.spared} that were spared (95 %)"
        return f"all of the attack broke {self.missed} of {plural(self.audited, 'audited image')}, {rest}"


def audit(columns: Columns) -> Audit | None:
    """The audit of a cell; None where nothing was spared.

    Args:
        columns: The columns of the cell, `(n,)` each.
    """
    spared, audited = flags(columns)
    if not (spared | audited).any():
        return None
    missed = int((audited & np.asarray(columns["success"], bool)).sum())
    n, k = int((spared | audited).sum()), int(audited.sum())
    from scipy import stats  # a second to import, for audits alone

    most = np.arange(n + 1)
    possible = (stats.hypergeom.cdf(missed, n, most, k) > 1 - LEVEL) & (most >= missed)
    return Audit(n, k, missed, float(most[possible].max()) / n, k < n and (k < sample_size(n) or missed > 0))


def due(columns: Columns, order: Array, everybody: bool) -> Array:
    """Which samples are to be audited next, bool `(n,)`.

    A sample of those spared; every sample that stands, near the boundary or not, once one of them was broken.

    Args:
        columns: The columns of the cell, `(n,)` each.
        order: A number for each sample that decides who is drawn, lowest first, `(n,)`; of its id alone.
        everybody: Whether all that stand are due from the beginning.
    """
    spared, audited = flags(columns)
    population = spared | audited
    hit = np.asarray(columns["success"], bool)
    if population.any() and (everybody or bool((audited & hit).any())):
        right = np.asarray(columns["clean_correct"], float) > 0.5
        chosen: Array = (spared | (right & ~hit & aimed(columns))) & ~audited
        return chosen
    ranks = np.where(population, order, np.inf).argsort(kind="stable")
    drawn = np.zeros(len(order), bool)
    drawn[ranks[: sample_size(int(population.sum()))]] = True
    return drawn & spared


def sample_size(spared: int) -> int:
    """How many of the samples that were spared are audited."""
    return min(spared, max(LEAST, math.ceil(SHARE * spared)))


def flags(columns: Columns) -> tuple[Array, Array]:
    """Which samples were spared and not audited, and which were audited, bool `(n,)`; nobody in rows of older versions."""
    n = len(next(iter(columns.values())))
    spared, audited = (np.asarray(columns.get(name, np.zeros(n)), bool) for name in ("spared", "audited"))
    return spared & ~audited, audited
