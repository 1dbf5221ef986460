"""Success and distance over the images that a judge labels right before the attack. Arrays and tables only, no torch.

H. Zhang's thesis (Deep learning in adversarial context, Rennes 2021), section 3.3, (3.1) and (3.2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import stats

from vauban.core.errors import ContractError
from vauban.statistics.intervals import Interval, wilson

Array = np.ndarray[Any, Any]
Z = 1.959963984540054  # of a two-sided 95 % interval
MEASURES: Mapping[str, str] = {"MAD_avg": "mad", "MAD_lower": "mad", "roughness_avg": "roughness"}
"""Metrics that rest on a metric of `vauban.metrics`, and its name there."""
MOST = 1000  # points of a curve
NONE_COMMON = "No image is fooled by both, so there is nothing to compare."


@dataclass(frozen=True, eq=False)
class Judged:
    """What a cell is computed from: judged rows by seed, then by run of the attack; those of the originals, and the values
    of a metric `(n,)` of each run, where the cell asks for them."""

    runs: list[list[pa.Table]]
    clean: pa.Table | None = None
    values: list[list[Array]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Attained:
    """Arrays `(seeds, N)` over the population. distance: L2, pixels of [0,1], of the nearest success, infinite without one.
    run: which run it is of. value: its value of the cell's measure. index `(N,)`: positions among all images."""

    distance: Array
    run: Array
    value: Array
    index: Array

    @cached_property
    def fooled(self) -> Array:
        return np.isfinite(self.distance)


@dataclass(frozen=True)
class Estimate:
    """A number for each seed with a 95 % interval of their mean; none where it is not defined, which `why` explains."""

    per_seed: list[float]
    interval: Interval | None
    why: str = ""


def attained(judged: Judged, targeted: bool) -> Attained:
    """The nearest success of each image that the judge labels right before the attack."""
    if judged.clean is None:
        raise ContractError("expected the judged originals beside the judged crafts, got none")
    index = np.flatnonzero(judged.clean["label"].to_numpy() == judged.clean["y"].to_numpy())
    distance = np.stack([np.stack([_reached(t, targeted)[index] for t in runs]) for runs in judged.runs], 1)
    run = distance.argmin(0)
    value = np.zeros(run.shape)
    if judged.values:
        value = np.stack([np.stack([v[index] for v in runs]) for runs in judged.values], 1)
        value = np.take_along_axis(value, run[None], 0)[0]
    return Attained(distance.min(0), run, value, index)


def _reached(rows: pa.Table, targeted: bool) -> Array:
    """The L2 distance of each image, infinite where it does not reach the goal."""
    label = rows["label"].to_numpy()
    success = label == rows["target"].to_numpy() if targeted else label != rows["y"].to_numpy()
    return np.where(success, rows["l2"].to_numpy(), np.inf)


def estimate(metric: str, found: Attained, at: float | None = None) -> Estimate:
    """A metric of ATTAINED with its interval over images; seeds share their images, so the sample size stays N."""
    if found.distance.shape[1] == 0:
        return Estimate([], None, "The judge labels no image right before the attack: there is nothing to fool.")
    if metric in ("P_suc", "P_upp"):
        return _share(found.distance <= (np.finfo(float).max if at is None else at))
    if metric == "D_median_L2":
        return _median(found.distance)
    return _mean(found.distance if metric == "D_avg_L2" else found.value, found.fooled)


def lower(judged: Judged, targeted: bool) -> tuple[Estimate, int]:
    """The share of the images that both of two runs fool, with every seed, on which the first has the lower value, and how
    many those images are."""
    if any(len(runs) != 2 for runs in judged.runs):
        raise ContractError("expected a craft and one to compare it with, got another number of runs")
    alone = [
        Judged([[runs[k]] for runs in judged.runs], judged.clean, [[values[k]] for values in judged.values])
        for k in (0, 1)
    ]
    first, second = common(*(attained(one, targeted) for one in alone))
    n = first.shape[1]
    return (_share(first < second), n) if n else (Estimate([], None, NONE_COMMON), 0)


def common(first: Attained, second: Attained) -> tuple[Array, Array]:
    """The values `(seeds, n)` of two attacks, of one judge, on the n images that both fool with every seed."""
    both = (first.fooled & second.fooled).all(0)
    return first.value[:, both], second.value[:, both]


def _share(hits: Array) -> Estimate:
    image = hits.mean(0)
    return Estimate(hits.mean(1).tolist(), wilson(min(float(image.sum()), len(image)), len(image)))


def _mean(value: Array, fooled: Array) -> Estimate:
    """The mean over seeds of the mean over the successes of each; normal limits from its linearisation over images.

    An image contributes e = mean over seeds of s (D - mean D) / N_suc; the variance is M / (M - 1) times the sum of e^2, M
    images with a success. For one seed it is the familiar variance of a mean over N_suc successes.
    """
    counts = fooled.sum(1)
    if not counts.all():
        return Estimate([], None, "No image is fooled, so no distance of a success exists.")
    value = np.where(fooled, value, 0.0)
    means = value.sum(1) / counts
    part = (fooled * (value - means[:, None]) / counts[:, None]).mean(0)
    images = int(fooled.any(0).sum())
    centre = float(means.mean())
    if images < 2:
        return Estimate(means.tolist(), Interval(0.0, math.inf))
    half = Z * math.sqrt(images / (images - 1) * float(np.square(part).sum()))
    return Estimate(means.tolist(), Interval(max(0.0, centre - half), centre + half))


def _median(distance: Array) -> Estimate:
    """The median over all images, failures infinite; limits from order statistics, the mean of those of each seed.

    With l the 2.5 % quantile of Binomial(N, 1/2), the l-th smallest and l-th largest distances enclose the median.
    """
    ordered = np.sort(distance, 1)
    n = ordered.shape[1]
    medians = (ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2
    if not np.isfinite(medians).all():
        return Estimate([], None, "At least half of the images are not fooled: the median distance is infinite.")
    rank = int(stats.binom.ppf(0.025, n, 0.5))
    if rank == 0:
        return Estimate(medians.tolist(), Interval(0.0, math.inf))
    return Estimate(medians.tolist(), Interval(float(ordered[:, rank - 1].mean()), float(ordered[:, n - rank].mean())))


def operating(found: Attained, upto: float) -> tuple[list[float], list[float]]:
    """P(D) of (3.2) as the corners (D, P) of a step function on [0, upto], averaged over seeds."""
    distance = np.sort(found.distance[found.fooled])
    size = max(found.distance.size, 1)
    steps = np.unique(distance[distance <= upto])
    if len(steps) > MOST:
        steps = steps[np.linspace(0, len(steps) - 1, MOST).round().astype(int)]
    x = np.concatenate([[0.0], steps[steps > 0], [upto]])
    return x.tolist(), (np.searchsorted(distance, x, "right") / size).tolist()
