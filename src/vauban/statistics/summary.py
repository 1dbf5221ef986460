"""Columns of one cell: the named sets of samples, distances, and robust accuracy. Pure functions.

Sets: `all`; `correct` (right without attack, on the attacked and defended model); `common` (right on every compared
model); each without the samples whose own label is the target, which have nothing to reach. Logits that are not finite
are errors, as the evaluator has judged them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from vauban.core.errors import ContractError, UnknownName
from vauban.core.tolerance import FLOAT32, upper_limit
from vauban.statistics.ids import ids_of_any
from vauban.statistics.intervals import Array

Columns = Mapping[str, Array]

POPULATIONS = ("all", "correct", "common")
NORMS = ("l0", "l1", "l2", "linf")


def tolerance_of(meta: Mapping[str, Any]) -> float:
    """Tolerance of a cell's distances, pixel units; that of float32 images for a cell written without one."""
    return float(meta.get("tolerance", FLOAT32))


def common_ids(cells: Iterable[Columns]) -> Array:
    """Ids that every one of the cells answers correctly without attack."""
    sets = [np.asarray(cell["id"])[np.asarray(cell["clean_correct"]) > 0.5] for cell in cells]
    if not sets:
        return np.empty(0, np.int64)
    shared = ids_of_any(sets[:1])
    for ids in sets[1:]:
        shared = shared[np.isin(shared, ids)]
    return shared


def aimed(columns: Columns) -> Array:
    """Mask `(n,)` of the samples that have something to reach: their own label is not the target."""
    target = np.asarray(columns.get("target", np.nan), float)  # NaN, which is no label, without a target
    return np.broadcast_to(target != columns["y"] if "y" in columns else True, np.shape(columns["id"]))


def population(columns: Columns, name: str, common: Array | None = None) -> Array:
    """Mask `(n,)` of a named set; `common` needs the ids of `common_ids`."""
    if name == "all":
        return aimed(columns)
    if name == "correct":
        return aimed(columns) & (np.asarray(columns["clean_correct"]) > 0.5)
    if name == "common":
        if common is None:
            raise ContractError("population 'common': expected the shared ids, got none; pass common_ids(cells)")
        return aimed(columns) & np.isin(columns["id"], common)
    raise UnknownName("population", name, POPULATIONS)


def select(columns: Columns, mask: Array) -> Columns:
    """The rows of a mask `(n,)` or of integers; a column is taken when it is asked for, since few of fifty are."""
    everything = mask.dtype == bool and bool(mask.all()) and len(mask) > 0
    return columns if everything else _Selected(columns, mask)


class _Selected(Mapping[str, Array]):
    """Some rows of columns, each column taken once."""

    def __init__(self, columns: Columns, chosen: Array) -> None:
        self._columns, self._chosen = columns, chosen
        self._taken: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._taken:
            self._taken[name] = self._columns[name][self._chosen]
        return self._taken[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def broken(columns: Columns) -> Array:
    """Rate `(n,)` at which the attack's image, inside its budget, gets a wrong label; 'rejected' is none.

    A goal reached without success means that the image lies outside the budget: it then counts as nothing.
    """
    outside = (np.asarray(columns["reached"]) > 0.5) & ~np.asarray(columns["success"], bool)
    return np.where(outside, 0.0, columns["misclassified"])


def lost(columns: Columns, after: Array) -> Array:
    """Rate `(n,)` at which a sample is an error before the attack, or goes wrong after it at rates `(n,)`: the larger."""
    larger: Array = np.maximum(1 - np.asarray(columns["clean_correct"]), after)
    return larger


def robust(columns: Columns) -> Array:
    """Weight `(n,)` with which a sample is right before and after the attack: 1 - max(1 - clean_correct, broken)."""
    kept: Array = 1 - lost(columns, broken(columns))
    return kept


def not_finite(columns: Columns) -> tuple[Array, Array]:
    """Masks `(n,)` of the samples whose logits are not finite: before the attack, and after it alone."""
    before, after = (_later(columns, name) > 0.5 for name in ("clean_not_finite", "not_finite"))
    return before, after & ~before


def rejects(columns: Columns) -> bool:
    """Whether the network rejects images, as a column says; rows of before have none."""
    return bool(np.isfinite(np.asarray(columns.get("rejected", np.nan), float)).any())


def rejected(columns: Columns) -> tuple[Array, Array, Array]:
    """Rates `(n,)` at which a network rejects the originals, the images of the attack, and noise of the same size."""
    return _later(columns, "clean_rejected"), _later(columns, "rejected"), _later(columns, "noise_rejected")


def fooled_or_rejected(fooled: Array, refused: Array) -> Array:
    """Rate `(n,)` at which images are fooled or rejected, of the two rates; no draw is both, so that they add up."""
    both: Array = np.minimum(fooled + refused, 1.0)
    return both


def _later(columns: Columns, name: str) -> Array:
    """A rate `(n,)` that rows of before do not have: 0 there."""
    values: Array = np.nan_to_num(np.asarray(columns.get(name, 0.0), float))
    return np.broadcast_to(values, len(next(iter(columns.values()))))


def distortion(columns: Columns, norm: str, rounded: bool = True) -> Array:
    """Distances of the successes.

    Args:
        columns: The columns of a cell, `(n,)` each.
        norm: `l0`, `l1`, `l2` or `linf`.
        rounded: False for the images before they were rounded to pixel levels, which L2 and Linf alone have.

    Returns:
        `(n,)` in pixels of [0,1], failures +inf.

    Raises:
        UnknownName: Another norm.
        ContractError: Unrounded distances of L0 or L1.
    """
    if norm not in NORMS:
        raise UnknownName("norm", norm, NORMS)
    if rounded:
        return np.where(columns["success"], columns[norm], np.inf)
    if f"raw_{norm}" not in columns:
        raise ContractError(f"unrounded distances: expected l2 or linf, got {norm}; use rounded=True")
    return np.where(columns["raw_success"], columns[f"raw_{norm}"], np.inf)


def metric_of_successes(columns: Columns, name: str, aggregate: Literal["mean", "median"], chosen: Array) -> float:
    """A declared metric as one number, over the chosen successes that have a value.

    Args:
        columns: The columns of a cell, or of several as one attack, `(n,)` each.
        name: The column of the metric.
        aggregate: What the metric declares.
        chosen: Mask `(n,)` of the set of samples.

    Returns:
        The number in the unit of the metric, nan where no chosen success has a value.
    """
    values = np.asarray(columns[name], float)[chosen & np.asarray(columns["success"], bool)]
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan")
    return float(values.mean() if aggregate == "mean" else np.median(values))


def robust_curve(columns: Columns, norm: str, at: Array, slack: float = FLOAT32) -> Array:
    """Robust accuracy over the set `all` at several budgets: a success counts from its own distance on.

    Args:
        columns: The columns of a cell, `(n,)` each.
        norm: `l0`, `l1`, `l2` or `linf`.
        at: Budgets `(m,)`, pixel units of [0,1].
        slack: The tolerance of the cell's distances.

    Returns:
        `(m,)`; nan over an empty set.
    """
    columns = select(columns, aimed(columns))
    clean_error = 1 - np.asarray(columns["clean_correct"], float)
    n = len(clean_error)
    if n == 0:
        return np.full(len(at), np.nan)
    loss = np.maximum(np.asarray(columns["misclassified"], float) - clean_error, 0.0)
    distance = distortion(columns, norm)
    order = np.argsort(distance, kind="stable")
    gained = np.concatenate([[0.0], np.cumsum(loss[order])])
    within = np.searchsorted(distance[order], upper_limit(at, slack), side="right")
    standing: Array = (n - clean_error.sum() - gained[within]) / n
    return standing
