"""Certified accuracy against radius, and what counting votes of noisy copies proves. Pure functions.

Randomised smoothing: Cohen, Rosenfeld and Kolter, "Certified adversarial robustness via randomized smoothing", ICML 2019
(arXiv:1902.02918), whose numbers are quoted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vauban.core.errors import ContractError
from vauban.statistics.distributions import beta_quantile, binomial_quantile, equal_odds_p, normal_quantile
from vauban.statistics.intervals import Array
from vauban.statistics.summary import Columns

SURE = 0.99
"""Probability with which sound bounds show no more contradictions than are allowed."""


def lower_confidence(count: Array, n: int, alpha: float) -> Array:
    """One-sided lower bound of a rate that holds with probability 1 - alpha (Clopper, Pearson, Biometrika 26, 1934).

    The alpha quantile of Beta(count, n - count + 1), 0 for no success.

    Args:
        count: Successes `(batch,)`.
        n: Of so many draws.
        alpha: Probability with which the bound may fail.

    Raises:
        ContractError: Counts outside [0, n], or alpha outside (0, 1).
    """
    counts = np.asarray(count)
    if not (0 < alpha < 1 and n >= 1 and bool(((counts >= 0) & (counts <= n)).all())):
        raise ContractError(f"expected 0 <= count <= n, n >= 1 and 0 < alpha < 1, got n={n}, alpha={alpha}")
    some = np.maximum(counts, 1)
    return np.where(counts > 0, beta_quantile(alpha, some, n - some + 1), 0.0)


def undecided(first: Array, second: Array, alpha: float) -> Array:
    """Whether two classes cannot be told apart by their votes, `(batch,)`: the two-sided binomial test against 1/2.

    Args:
        first, second: Votes of the class with most and of the one with the second most, `(batch,)`.
        alpha: The test abstains unless its p-value is at most alpha.
    """
    one, two = (np.broadcast_to(np.asarray(votes), np.shape(first)) for votes in (first, second))
    return equal_odds_p(one, two) > alpha


def smoothed_radius(p_low: Array, sigma: float) -> Array:
    """L2 radius of theorem 1 for a lower bound of the top class: sigma Phi^-1(p), 0 where p <= 1/2."""
    return np.where(np.asarray(p_low) > 0.5, sigma * normal_quantile(np.maximum(p_low, 0.5)), 0.0)


def certified_accuracy(columns: Columns, at: Array) -> Array:
    """Share of all images that are certified as their label for every change smaller than each radius, `(m,)`."""
    radius = np.where(columns["certified"] == columns["y"], columns["radius"], -1.0)
    return _above(np.where(radius > 0, radius, -1.0), at, inclusive=True)


def empirical_accuracy(columns: Columns, at: Array) -> Array:
    """Share of all images that are answered right, and at no image of the attacks up to each radius wrong, `(m,)`.

    An answer that is withheld counts as wrong. It bounds the accuracy from above, nan where nothing was attacked.
    """
    distance = np.asarray(columns["wrong_at"], float)
    if np.isnan(distance).any():
        return np.full(len(at), np.nan)
    return _above(np.where(columns["label"] == columns["y"], distance, -1.0), at, inclusive=False)


def _above(values: Array, at: Array, inclusive: bool) -> Array:
    if not len(values):
        return np.full(len(at), np.nan)
    below = np.searchsorted(np.sort(values), np.asarray(at, float), side="left" if inclusive else "right")
    return 1 - below / len(values)


@dataclass(frozen=True)
class Contradictions:
    """Certified images at which an attack inside the radius was answered otherwise, against what may happen by chance.

    Attributes:
        count: Images with another class, not withheld, inside their certified radius.
        checked: Certified images that were attacked.
        allowed: The most that sound bounds show with probability 0.99.
    """

    count: int
    checked: int
    allowed: int

    @property
    def refuted(self) -> bool:
        """Whether there are more than chance allows, so that the bounds, or the code, are wrong."""
        return self.count > self.allowed


def contradictions(columns: Columns, alpha: float, alpha_answer: float, answers: int, slack: float) -> Contradictions:
    """Contradictions between certified radii and attacks.

    A bound may fail with probability alpha, and each answer at an attacked image with alpha_answer; their number over the
    checked images is then at most binomial with the sum of both.

    Args:
        columns: The rows; `other_at` is the distance at which another class was answered.
        alpha: Of a bound, for one image; 0 for a deterministic one.
        alpha_answer: Of an answer; 0 for a deterministic classifier.
        answers: Attacked images that were answered, for each image.
        slack: Tolerance of distances.
    """
    other, radius = np.asarray(columns["other_at"], float), np.asarray(columns["radius"], float)
    checked = (radius > 0) & ~np.isnan(other)
    n, rate = int(checked.sum()), min(1.0, alpha + answers * alpha_answer)
    allowed = binomial_quantile(SURE, n, rate) if n and rate > 0 else 0
    return Contradictions(int((checked & (other < radius - slack)).sum()), n, allowed)


def radii_drawn(columns: Columns, most: int = 120) -> list[float]:
    """Radii at which the curves of some rows have their corners, from 0 on."""
    every = np.concatenate([np.asarray(columns[name], float) for name in ("radius", "wrong_at")])
    steps = np.unique(every[np.isfinite(every) & (every > 0)])
    if len(steps) > most:
        steps = steps[np.linspace(0, len(steps) - 1, most).round().astype(int)]
    return [0.0, *steps.tolist()]


def failure(meta: dict[str, Any]) -> tuple[float, float]:
    """(alpha, alpha') that the facts of a certificate declare, for a bound and for an answer."""
    return float(meta.get("alpha") or 0.0), float(meta.get("alpha_answer") or 0.0)


def mean_radius(columns: Columns) -> float:
    """Average certified radius: over all images, 0 where the label is not certified; nan over none."""
    radius = np.where(columns["certified"] == columns["y"], columns["radius"], 0.0)
    return float(radius.mean()) if len(radius) else math.nan
