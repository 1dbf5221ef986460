"""Detection: the error rates of a detector at every threshold, from its scores before and after an attack.

The threshold moves; the images of the attack stay those that were made against the threshold that the network has. An
attacker who knew another threshold could do better there, so a success at another threshold is a lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vauban.core.errors import ContractError
from vauban.statistics.estimates import Estimate, rate
from vauban.statistics.intervals import Array
from vauban.statistics.summary import Columns, aimed, select


@dataclass(frozen=True)
class OperatingPoint:
    """A detector with one threshold.

    Attributes:
        threshold: An image whose excess is above it is rejected.
        false_positives: Share of the originals that are rejected.
        success: Share of the images with an answer that the attack still has to change, rejected originals included, whose
            attacked image reaches the goal and is accepted.
        detected: Share of the attacked images that reach the goal, were they accepted, that are rejected.
    """

    threshold: float
    false_positives: Estimate
    success: Estimate
    detected: Estimate


def has_scores(columns: Columns) -> bool:
    """Whether rows hold by how much 'rejected' exceeds the classes: those of a detector, but for rows of before."""
    return bool(np.isfinite(np.asarray(columns.get("excess", np.nan), float)).any())


def own_point(columns: Columns) -> OperatingPoint:
    """The point at the threshold that the network has."""
    return _point(columns, 0.0)


def operating_point(columns: Columns, false_positives: float) -> OperatingPoint:
    """The point at the lowest threshold that rejects at most a share of the originals.

    Args:
        columns: The columns of a cell, `(n,)` each.
        false_positives: The share, below 1.

    Raises:
        ContractError: A share outside [0, 1), or rows without scores of a detector.
    """
    if not 0 <= false_positives < 1:
        raise ContractError(f"expected a share of false positives from 0 to below 1, got {false_positives}")
    if not has_scores(columns):
        raise ContractError("expected rows of a network that rejects images, got none with its scores; run it again")
    clean = np.sort(_clean(columns))[::-1]
    return _point(columns, float(clean[math.floor(false_positives * len(clean) + 1e-9)]))


def worst_success(cells: Sequence[Columns], threshold: float) -> Estimate:
    """Share of the images that one of several attacks on a network gets a goal accepted on, at a threshold.

    Over the images that any of the cells can attack; cells are of one network, so their originals have the same scores.
    """
    held: dict[int, float] = {}
    for columns in cells:
        chosen = select(columns, _attackable(columns))
        for sample, success in zip(chosen["id"], _accepted(chosen, threshold), strict=True):
            held[int(sample)] = max(held.get(int(sample), 0.0), float(success))
    return rate(np.array(list(held.values())))


def roc(columns: Columns) -> tuple[Array, Array]:
    """False positives and the share of the attack's images that are detected, `(m,)` each, for every threshold.

    Both go from 0 to 1. Detected are images that reach the goal, were they accepted; without any there is no curve, `(0,)`.
    """
    clean, attacked = _clean(columns), _reaching(columns)
    if not len(clean) or not len(attacked):
        return np.empty(0), np.empty(0)
    thresholds = np.unique(np.concatenate([clean, attacked]))[::-1]
    curve = [np.searchsorted(np.sort(-scores), -thresholds, side="left") / len(scores) for scores in (clean, attacked)]
    return np.append(curve[0], 1.0), np.append(curve[1], 1.0)


def area(columns: Columns) -> float:
    """Area under the curve: how often an attack's image has the larger excess than an original, ties for half; or nan."""
    clean, attacked = np.sort(_clean(columns)), _reaching(columns)
    if not len(clean) or not len(attacked):
        return math.nan
    below, upto = (np.searchsorted(clean, attacked, side=side) for side in ("left", "right"))
    return float((below + upto).mean() / (2 * len(clean)))


def _point(columns: Columns, threshold: float) -> OperatingPoint:
    chosen = select(columns, _attackable(columns))
    return OperatingPoint(
        threshold,
        rate(_clean(columns) > threshold),
        rate(_accepted(chosen, threshold)),
        rate(_reaching(columns) > threshold),
    )


def _accepted(columns: Columns, threshold: float) -> Array:
    success: Array = np.asarray(columns["class_reached"], float) * (np.asarray(columns["excess"], float) <= threshold)
    return success


def _clean(columns: Columns) -> Array:
    scores: Array = np.asarray(columns["clean_excess"], float)
    known: Array = scores[np.isfinite(scores)]
    return known


def _attackable(columns: Columns) -> Array:
    """Mask of the samples whose class, rejection aside, is not what the goal wants before the attack."""
    usable = np.isfinite(np.asarray(columns["excess"], float)) & (
        np.asarray(columns["clean_class_reached"], float) <= 0.5
    )
    mask: Array = aimed(columns) & usable
    return mask


def _reaching(columns: Columns) -> Array:
    """Excess of the attack's images that would reach the goal were they accepted."""
    chosen = select(columns, _attackable(columns))
    scores: Array = np.asarray(chosen["excess"], float)[np.asarray(chosen["class_reached"], float) > 0.5]
    return scores
