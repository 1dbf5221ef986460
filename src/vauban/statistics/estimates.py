"""Numbers over a set of images with their 95 % intervals: rates, means, medians, and the operating characteristic P(D).

Every function takes one value per image, `(n,)`, or one per seed and image, `(seeds, n)`. Seeds share their images: an
interval covers the sampling of the n images and the sample size stays n. A distance is in pixels of [0,1], +inf where no
image was found. Formulas (3.1), (3.2): H. Zhang's thesis (Deep learning in adversarial context, Rennes 2021), section 3.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vauban.core.tolerance import FLOAT32, upper_limit
from vauban.statistics.distributions import binomial_quantile
from vauban.statistics.intervals import Array, Interval, wilson

Z = 1.959963984540054  # of a two-sided 95 % interval


@dataclass(frozen=True)
class Estimate:
    """A number over n images with a 95 % interval of its mean over seeds.

    Attributes:
        per_seed: The number with each seed; nan where it is not defined, inf for the median of mostly failures.
        interval: The limits; an end may be inf, where nothing is known it is the whole range of the number.
        n: How many images it is over.
    """

    per_seed: tuple[float, ...]
    interval: Interval
    n: int

    @property
    def value(self) -> float:
        """Mean over the seeds."""
        return math.fsum(self.per_seed) / len(self.per_seed)


@dataclass(frozen=True)
class Conditional(Estimate):
    """A mean over the successes, never without the success rate that it hides.

    Attributes:
        p_suc: The share of the n images, over all seeds, that the mean is over; nan over an empty set.
    """

    p_suc: float


def rate(values: Array) -> Estimate:
    """Mean of numbers in [0,1] with its Wilson interval.

    Args:
        values: `(n,)` or `(seeds, n)`; bool, or rates of which the variance is at most the binomial one, so that the
            interval is then conservative.

    Returns:
        The estimate; nan with the interval [0, 1] over an empty set.
    """
    seeds = _by_seed(values)
    n = seeds.shape[1]
    means = tuple(min(float(np.sum(row)) / n, 1.0) if n else math.nan for row in seeds)
    return Estimate(means, wilson(min(float(seeds.mean(0).sum()), n), n), n)


def p_upp(distance: Array, budget: float, slack: float = FLOAT32) -> Estimate:
    """P(D_upp) of (3.2): the share of the set with a successful image within one distance.

    Args:
        distance: `(n,)` or `(seeds, n)`, +inf for failures.
        budget: D_upp, pixel units of [0,1].
        slack: The tolerance of the images that the distance was measured on.
    """
    return rate(np.asarray(distance) <= upper_limit(budget, slack))


def operating_characteristic(distance: Array, at: Array, slack: float = FLOAT32) -> Array:
    """P(D) = |{x: success, D(x) <= D}| / N of (3.2), averaged over seeds.

    Args:
        distance: `(n,)` or `(seeds, n)`, +inf for failures.
        at: Distances D `(m,)`, pixel units of [0,1].
        slack: The tolerance of the images that the distance was measured on.

    Returns:
        `(m,)`; nan over an empty set.
    """
    ordered = np.sort(np.asarray(distance, float), axis=None)
    if not len(ordered):
        return np.full(len(at), np.nan)
    return np.searchsorted(ordered, upper_limit(at, slack), side="right") / len(ordered)


def corners(distance: Array, most: int, upto: float = math.inf) -> Array:
    """Distances at which the step function P(D) is drawn.

    Args:
        distance: Any shape, +inf for failures.
        most: Number of steps that are kept, at evenly spaced ranks, where there are more.
        upto: The end of the drawing; inf ends it at the last step.

    Returns:
        0, the distances up to `upto` in increasing order, each once, and `upto` itself where it is finite.
    """
    steps = np.unique(distance[np.isfinite(distance) & (distance <= upto)])
    if len(steps) > most:
        steps = steps[np.linspace(0, len(steps) - 1, most).round().astype(int)]
    return np.concatenate([[0.0], steps[steps > 0], [upto] if math.isfinite(upto) else []])


def median(distance: Array) -> Estimate:
    """Median over all images, failures infinite, with the interval of order statistics.

    With l the 2.5 % quantile of Binomial(n, 1/2), the l-th smallest and the l-th largest value enclose the median of the
    population with at least 95 %, whatever its distribution; of several seeds, the limits are averaged.

    Args:
        distance: `(n,)` or `(seeds, n)`, +inf for failures.

    Returns:
        The estimate; [0, inf] where l = 0 (fewer than six images), nan over an empty set.
    """
    ordered = np.sort(_by_seed(distance), axis=1)
    n = ordered.shape[1]
    if n == 0:
        return Estimate((math.nan,) * len(ordered), Interval(0.0, math.inf), 0)
    medians = (ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2
    rank = binomial_quantile(0.025, n, 0.5)
    limits = Interval(0.0, math.inf)
    if rank > 0:
        limits = Interval(float(ordered[:, rank - 1].mean()), float(ordered[:, n - rank].mean()))
    return Estimate(tuple(medians.tolist()), limits, n)


def conditional_mean(values: Array, success: Array | None = None, highest: float = math.inf) -> Conditional:
    """Mean over the successes (3.1) with its normal interval and P_suc.

    Over several seeds, the mean of their means; its variance follows from the linearisation over images. An image
    contributes e = mean over seeds of s (D - mean D) / N_suc; the variance is M / (M - 1) times the sum of e^2, M images
    with a success. For one seed it is the familiar variance of a mean over N_suc successes.

    Args:
        values: `(n,)` or `(seeds, n)`: distances, or values of another metric.
        success: Which of them count, of the same shape; the finite ones where None.
        highest: The largest possible value; limits are cut to [0, highest], from below only where no value is negative.

    Returns:
        The estimate: nan for a seed without a success; the widest limits for fewer than two images with one.
    """
    values = _by_seed(values)
    success = np.isfinite(values) if success is None else np.atleast_2d(np.asarray(success, bool))
    share = float(success.mean()) if success.size else math.nan
    counts, images = success.sum(1), int(success.any(0).sum())
    kept = np.where(success, values, 0.0)
    means = np.divide(kept.sum(1), counts, out=np.full(len(counts), math.nan), where=counts > 0)
    lowest = -math.inf if bool((kept < 0).any()) else 0.0
    limits = Interval(lowest, highest)
    if images > 1 and counts.all():
        part = (success * (kept - means[:, None]) / counts[:, None]).mean(0)
        half = Z * math.sqrt(images / (images - 1) * float(np.square(part).sum()))
        centre = float(means.mean())
        limits = Interval(max(lowest, centre - half), min(highest, centre + half))
    return Conditional(tuple(means.tolist()), limits, values.shape[1], share)


def nearest(distance: Array) -> tuple[Array, Array]:
    """Several runs as one attacker: the nearest success of each image counts (thesis 3.3, rule 2).

    Args:
        distance: `(runs, ...)`, +inf for failures.

    Returns:
        The smallest distance `(...)` and the run that it is of, the first of equals.
    """
    return distance.min(0), distance.argmin(0)


def _by_seed(values: Array) -> Array:
    """Values as `(seeds, n)` float."""
    return np.atleast_2d(np.asarray(values, float))
