"""Several cells as one attacker: the union over budgets of one attack, the worst case over attacks. Pure functions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from vauban.core.errors import ContractError
from vauban.core.text import split
from vauban.core.tolerance import least_radius, upper_limit
from vauban.statistics.estimates import nearest
from vauban.statistics.ids import ids_of_any, increasing
from vauban.statistics.intervals import Array
from vauban.statistics.summary import Columns, aimed, broken, distortion, population, select, tolerance_of

_COUNTS = ("forwards", "backwards", "switches", "vanished", "unsolved", "nonfinite_gradients")


class ReadCell(Protocol):
    """Rows of one cell as read from a store: its facts and its columns `(rows,)`."""

    @property
    def meta(self) -> dict[str, Any]: ...
    @property
    def columns(self) -> Columns: ...


T = TypeVar("T")


class WorstCase(NamedTuple):
    """Worst case over attacks, by sample, `(n,)` each.

    Attributes:
        ids: Of the samples that some attack has something to reach on, in increasing order.
        clean: The rate at which each is right without attack.
        clean_of_all: That rate of every sample, those left out included.
        robust: The weight with which it stays right.
        gradients, queries: Backward and forward passes of all attacks together.
    """

    ids: Array
    clean: Array
    clean_of_all: Array
    robust: Array
    gradients: Array
    queries: Array


class NearestSuccess(NamedTuple):
    """Smallest distance of each sample over the attacks that minimise one norm, `(n,)` each.

    Attributes:
        ids: Of the samples, in increasing order.
        distance: In pixels of [0,1], +inf where no attack succeeded.
        correct: Whether some cell has the sample right without attack.
    """

    ids: Array
    distance: Array
    correct: Array


def norm_of(cell: ReadCell) -> str:
    """The norm an attack minimises or is limited in; L2 where it has none."""
    return str(cell.meta.get("norm") or "l2").lower()


def group(several: Iterable[T], key: Callable[[T], Hashable]) -> dict[Any, list[T]]:
    """Cells, or other things, by a key, in order of appearance."""
    groups: dict[Any, list[T]] = defaultdict(list)
    for one in several:
        groups[key(one)].append(one)
    return dict(groups)


OF_EPS = ("eps", "radius", "ball", "alpha", "rel_stepsize", "abs_stepsize", "step_size")
"""Parameters of an attack that go with eps; the last one is that of rows of vauban 0.1."""


def family(cell: ReadCell) -> tuple[str, ...]:
    """What the runs of one attack at several eps share: everything but eps and the steps derived from it."""
    meta = cell.meta
    attack = {
        k: v
        for k, v in _part(meta, "attack").items()
        if k not in ("eps", "radius", "ball", "alpha", "rel_stepsize", "abs_stepsize", "step_size")
    }
    fields = ("model", "defence", "data", "threat", "goal", "norm", "loss", "levels", "seed")
    rest = {k: v for k, v in _part(meta, "threat").items() if k not in ("eps", "limit")}
    return (
        attack_word(cell)[0],
        *(str(meta.get(name)) for name in fields),
        json.dumps([attack, rest], sort_keys=True, default=str),
    )


def attack_word(cell: ReadCell) -> tuple[str, list[str]]:
    """The name of an attack and its parameters as they were written: `pgd:eps=0.1,steps=9` -> pgd, [eps=0.1, steps=9].

    What stands in brackets stays together. A name that a user gave and that is not of this form has no parameters.
    """
    label = str(cell.meta.get("attack"))
    try:
        parts = split(label, ":")
        first = next((i for i, part in enumerate(parts) if "=" in part), 0)
        return (":".join(parts[:first]), split(":".join(parts[first:]), ",")) if first else (label, [])
    except ContractError:  # brackets of a name that says something else
        return label, []


def _part(meta: Mapping[str, Any], word: str) -> dict[str, Any]:
    return dict(meta.get("params", {}).get(word) or {})


def union(runs: Sequence[Columns], norm: str) -> dict[str, Array]:
    """One attack run at several budgets as a single attack (thesis 3.3, rule 2).

    A sample succeeds if any run does; it keeps the row of the smallest distance, of the highest misclassification
    where none succeeded; forwards, backwards, switches, vanished and, where all runs have them, unsolved and
    nonfinite_gradients are summed.

    Args:
        runs: The columns of each run, over the same samples in any order.
        norm: The norm of the distance.

    Returns:
        The columns of the one attack, in the order of the ids.

    Raises:
        ContractError: No run, or runs over different samples.
    """
    if not runs:
        raise ContractError("union: expected at least one run, got none; pass the cells of one attack")
    aligned = [_sorted(run) for run in runs]
    ids = aligned[0]["id"]
    if any(not np.array_equal(run["id"], ids) for run in aligned):
        raise ContractError("union: expected runs over the same samples, got different ids; finish the run first")
    distance = np.stack([distortion(run, norm) for run in aligned])
    reached = np.stack([np.asarray(run["misclassified"], float) for run in aligned])
    closest, run = nearest(distance)
    best = np.where(np.isfinite(closest), run, reached.argmax(axis=0))
    out = {name: np.stack([run[name] for run in aligned])[best, np.arange(len(ids))] for name in aligned[0]}
    _, raw = nearest(np.stack([np.where(run["raw_success"], run["raw_l2"], np.inf) for run in aligned]))
    for name in ("raw_success", "raw_l2", "raw_linf"):
        out[name] = np.stack([run[name] for run in aligned])[raw, np.arange(len(ids))]
    counts = [name for name in _COUNTS if all(name in run for run in aligned)]
    return out | {name: np.sum([run[name] for run in aligned], axis=0) for name in counts}


def nearest_success(cells: Sequence[ReadCell], norm: str) -> NearestSuccess:
    """Several attacks as one: the smallest distance in a norm of each sample that any of the cells has."""
    ids = ids_of_any([cell.columns["id"] for cell in cells])
    distance, correct = np.full((len(cells), len(ids)), np.inf), np.zeros(len(ids), bool)
    for row, cell in zip(distance, cells, strict=True):
        columns = _sorted(cell.columns)
        at = np.searchsorted(ids, columns["id"])
        row[at] = distortion(columns, norm)
        correct[at] |= population(columns, "correct")
    return NearestSuccess(ids, nearest(distance)[0], correct)


def worst_case(cells: Sequence[ReadCell], norm: str | None = None, eps: float | None = None) -> WorstCase:
    """Samples left standing when every attack is tried on every one.

    Per sample 1 - max(1 - clean_correct, misclassified by any image inside the budget). A sample that an attack has not
    reached yet counts as not broken by it, so the result stays an upper bound of robust accuracy. On a randomised
    model the maximum over attacks of rates from a few draws errs against the defence.

    Args:
        cells: The attacks.
        norm: With `eps`: any success of any attack within eps in this norm counts, whatever norm it minimised.
        eps: The budget, pixel units of [0,1]; each attack's own where None.
    """
    ids = ids_of_any([cell.columns["id"] for cell in cells])
    clean, hit, aims = np.ones(len(ids)), np.zeros(len(ids)), np.zeros(len(ids), bool)
    gradients, queries = np.zeros(len(ids)), np.zeros(len(ids))
    for cell in cells:
        columns = _sorted(cell.columns)
        at = np.searchsorted(ids, columns["id"])
        clean[at] = np.minimum(clean[at], columns["clean_correct"])
        aims[at] |= aimed(columns)
        if cell.meta.get("clean_only"):
            continue
        hit[at] = np.maximum(hit[at], np.where(aimed(columns), _inside(cell, columns, norm, eps), 0.0))
        gradients[at] += columns["backwards"]
        queries[at] += columns["forwards"]
    robust = 1 - np.maximum(1 - clean, hit)
    return WorstCase(ids[aims], clean[aims], clean, robust[aims], gradients[aims], queries[aims])


def _inside(cell: ReadCell, columns: Columns, norm: str | None, eps: float | None) -> Array:
    if norm is None or eps is None:
        return broken(columns)
    limit, own = upper_limit(eps, tolerance_of(cell.meta)), cell.meta.get("eps")
    near = distortion(columns, norm) <= limit
    if norm_of(cell) == norm and own is not None and own <= limit:
        near = near | ~np.asarray(columns["success"], bool)
    return np.where(near, broken(columns), 0.0)


def worst_curve(cells: Sequence[ReadCell], norm: str, at: Array) -> Array:
    """Robust accuracy over `all` against `worst_case(cells, norm, eps)`, `(m,)` at the budgets `at` `(m,)`."""
    worst = worst_case(cells)
    if not len(worst.ids):
        return np.full(len(at), np.nan)
    # One event per sample and cell: from this budget on, this rate. A running maximum turns events into losses.
    start = np.full(len(worst.ids), -np.inf), np.arange(len(worst.ids)), 1 - worst.clean
    events = [start, *(_events(cell, norm, worst.ids) for cell in cells if not cell.meta.get("clean_only"))]
    distance, sample, lost = (np.concatenate(column) for column in zip(*events, strict=True))
    order = np.lexsort((distance, sample))
    distance, sample, lost = distance[order], sample[order], lost[order]
    # Rates are at most 1: an offset of 2 per sample keeps the samples apart in a single pass.
    highest = np.maximum.accumulate(lost + 2.0 * sample) - 2.0 * sample
    first = np.diff(sample, prepend=-1) > 0
    gained = np.where(first, highest, np.diff(highest, prepend=0.0))
    order = np.argsort(distance, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(gained[order])])
    standing: Array = 1 - total[np.searchsorted(distance[order], at, side="right")] / len(worst.ids)
    return np.clip(standing, 0.0, 1.0)


def _events(cell: ReadCell, norm: str, ids: Array) -> tuple[Array, Array, Array]:
    columns = _sorted(select(cell.columns, aimed(cell.columns)))
    distance, own = distortion(columns, norm), cell.meta.get("eps")
    if norm_of(cell) == norm and own is not None:
        distance = np.where(columns["success"], distance, float(own))
    return least_radius(distance, tolerance_of(cell.meta)), np.searchsorted(ids, columns["id"]), broken(columns)


def _sorted(columns: Columns) -> Columns:
    if increasing(columns["id"]):
        return columns
    _, first = np.unique(columns["id"], return_index=True)
    return select(columns, first)
