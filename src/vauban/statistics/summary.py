"""Numbers of one cell: pure functions of its columns. Every rate is over a named set of samples.

Sets: `all`; `correct` (right without attack, on the attacked and defended model); `common` (right on every compared
model). Formulas (3.1), (3.2): thesis "Deep Learning in Adversarial Context" (2021), section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from vauban.core.errors import ContractError, UnknownName
from vauban.statistics.intervals import Interval, wilson

Array = np.ndarray[Any, Any]
Columns = Mapping[str, Array]

POPULATIONS = ("all", "correct", "common")
NORMS = ("l0", "l1", "l2", "linf")
SLACK = 1e-6  # a stored distance is a rounded sum; a budget is an exact fraction of 255


class Rate(NamedTuple):
    """A share of `n` samples with its 95 % Wilson interval; nan over an empty set."""

    value: float
    interval: Interval
    n: int


class Conditional(NamedTuple):
    """A mean over the successes, never without the success rate that it hides."""

    mean: float
    p_suc: float


def rate(values: Array) -> Rate:
    """Mean of per-sample rates in [0,1] and its interval."""
    n = len(values)
    total = min(float(np.sum(values, dtype=float)), float(n))
    return Rate(total / n if n else math.nan, wilson(total, n), n)


def common_ids(cells: Iterable[Columns]) -> Array:
    """Ids that every one of the cells answers correctly without attack."""
    sets = [np.asarray(cell["id"])[np.asarray(cell["clean_correct"]) > 0.5] for cell in cells]
    if not sets:
        return np.empty(0, np.int64)
    shared = sets[0]
    for ids in sets[1:]:
        shared = np.intersect1d(shared, ids)
    return np.unique(shared)


def population(columns: Columns, name: str, common: Array | None = None) -> Array:
    """Mask `(n,)` of a named set; `common` needs the ids of `common_ids`."""
    if name == "all":
        return np.ones(len(columns["id"]), bool)
    if name == "correct":
        return np.asarray(columns["clean_correct"]) > 0.5
    if name == "common":
        if common is None:
            raise ContractError("population 'common': expected the shared ids, got none; pass common_ids(cells)")
        return np.isin(columns["id"], common)
    raise UnknownName("population", name, POPULATIONS)


def select(columns: Columns, mask: Array) -> dict[str, Array]:
    """The rows of a mask."""
    return {name: values[mask] for name, values in columns.items()}


def broken(columns: Columns) -> Array:
    """Rate `(n,)` at which the attack's image, inside its budget, gets a wrong label.

    A goal reached without success means that the image lies outside the budget: it then counts as nothing.
    """
    outside = (np.asarray(columns["reached"]) > 0.5) & ~np.asarray(columns["success"], bool)
    return np.where(outside, 0.0, columns["misclassified"])


def robust(columns: Columns) -> Array:
    """Weight `(n,)` with which a sample is right before and after the attack: 1 - max(1 - clean_correct, broken)."""
    kept: Array = 1 - np.maximum(1 - np.asarray(columns["clean_correct"]), broken(columns))
    return kept


def distortion(columns: Columns, norm: str, rounded: bool = True) -> Array:
    """Distances `(n,)` in pixels of [0,1], failures +inf; `rounded=False` gives those before rounding (L2 and Linf)."""
    if norm not in NORMS:
        raise UnknownName("norm", norm, NORMS)
    if rounded:
        return np.where(columns["success"], columns[norm], np.inf)
    if f"raw_{norm}" not in columns:
        raise ContractError(f"unrounded distances: expected l2 or linf, got {norm}; use rounded=True")
    return np.where(columns["raw_success"], columns[f"raw_{norm}"], np.inf)


def operating_characteristic(distance: Array, at: Array) -> Array:
    """P(D) = |{x: success, D(x) <= D}| / N at every D of `at` (3.2); `distance` has +inf for failures."""
    if len(distance) == 0:
        return np.full(len(at), np.nan)
    return np.searchsorted(np.sort(distance), at, side="right") / len(distance)


def p_upp(distance: Array, budget: float) -> Rate:
    """P(D_upp): the share of the set broken within one distance."""
    return rate(np.asarray(distance <= budget + SLACK, float))


def conditional_mean(distance: Array) -> Conditional:
    """Mean distance over the successes (3.1), with P_suc; nan where nothing succeeded."""
    reached = np.isfinite(distance)
    share = float(reached.mean()) if len(distance) else math.nan
    return Conditional(float(distance[reached].mean()) if reached.any() else math.nan, share)


def robust_curve(columns: Columns, norm: str, at: Array) -> Array:
    """Robust accuracy over `all` at every budget of `at`: a success counts from its own distance on."""
    clean_error = 1 - np.asarray(columns["clean_correct"], float)
    n = len(clean_error)
    if n == 0:
        return np.full(len(at), np.nan)
    loss = np.maximum(np.asarray(columns["misclassified"], float) - clean_error, 0.0)
    distance = distortion(columns, norm)
    order = np.argsort(distance, kind="stable")
    gained = np.concatenate([[0.0], np.cumsum(loss[order])])
    standing: Array = (n - clean_error.sum() - gained[np.searchsorted(distance[order], at, side="right")]) / n
    return standing
