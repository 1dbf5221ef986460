"""Several cells as one attacker: the union over budgets of one attack, the worst case over attacks. Pure functions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from vauban.core.errors import ContractError
from vauban.statistics.summary import SLACK, Array, Columns, broken, distortion, select

_COUNTS = ("forwards", "backwards", "switches", "vanished", "unsolved")


class CellRows(Protocol):
    """Rows of one cell as read from a store: its facts and its columns `(rows,)`."""

    @property
    def meta(self) -> dict[str, Any]: ...
    @property
    def columns(self) -> Columns: ...


C = TypeVar("C", bound=CellRows)


class WorstCase(NamedTuple):
    """Worst case over attacks: the samples' ids, the weight with which each stays right, and its cost."""

    ids: Array
    clean: Array
    robust: Array
    gradients: Array
    queries: Array


def norm_of(cell: CellRows) -> str:
    """The norm an attack minimises or is limited in; L2 where it has none."""
    return str(cell.meta.get("norm") or "l2").lower()


def group(cells: Iterable[C], key: Callable[[C], Hashable]) -> dict[Any, list[C]]:
    """Cells by a key, in order of appearance."""
    groups: dict[Any, list[C]] = defaultdict(list)
    for cell in cells:
        groups[key(cell)].append(cell)
    return dict(groups)


def family(cell: CellRows) -> tuple[str, ...]:
    """What the runs of one attack at several eps share: everything but eps and the steps derived from it."""
    meta = cell.meta
    attack = {
        k: v for k, v in _part(meta, "attack").items() if k not in ("eps", "radius", "ball", "alpha", "step_size")
    }
    fields = ("model", "defence", "data", "threat", "goal", "norm", "loss", "levels", "seed")
    rest = {k: v for k, v in _part(meta, "threat").items() if k not in ("eps", "limit")}
    return (
        attack_word(cell)[0],
        *(str(meta.get(name)) for name in fields),
        json.dumps([attack, rest], sort_keys=True, default=str),
    )


def attack_word(cell: CellRows) -> tuple[str, list[str]]:
    """The name of an attack and its parameters as they were written: `pgd:eps=0.1,steps=9` -> pgd, [eps=0.1, steps=9]."""
    name, _, given = str(cell.meta.get("attack")).rpartition(":")
    return (name, given.split(",")) if name and "=" in given else (str(cell.meta.get("attack")), [])


def _part(meta: Mapping[str, Any], word: str) -> dict[str, Any]:
    return dict(meta.get("params", {}).get(word) or {})


def union(runs: Sequence[Columns], norm: str) -> dict[str, Array]:
    """One attack run at several budgets as a single attack (thesis 3.3, rule 2).

    A sample succeeds if any run does; it keeps the row of the smallest distance, of the highest misclassification
    where none succeeded; forwards, backwards, switches, vanished and, where all runs have it, unsolved are summed. The
    runs must hold the same ids.
    """
    if not runs:
        raise ContractError("union: expected at least one run, got none; pass the cells of one attack")
    aligned = [_sorted(run) for run in runs]
    ids = aligned[0]["id"]
    if any(not np.array_equal(run["id"], ids) for run in aligned):
        raise ContractError("union: expected runs over the same samples, got different ids; finish the run first")
    distance = np.stack([distortion(run, norm) for run in aligned])
    reached = np.stack([np.asarray(run["misclassified"], float) for run in aligned])
    succeeded = np.isfinite(distance).any(axis=0)
    best = np.where(succeeded, distance.argmin(axis=0), reached.argmax(axis=0))
    out = {name: np.stack([run[name] for run in aligned])[best, np.arange(len(ids))] for name in aligned[0]}
    raw = np.stack([np.where(run["raw_success"], run["raw_l2"], np.inf) for run in aligned]).argmin(axis=0)
    for name in ("raw_success", "raw_l2", "raw_linf"):
        out[name] = np.stack([run[name] for run in aligned])[raw, np.arange(len(ids))]
    counts = [name for name in _COUNTS if all(name in run for run in aligned)]
    return out | {name: np.sum([run[name] for run in aligned], axis=0) for name in counts}


def worst_case(cells: Sequence[CellRows], norm: str | None = None, eps: float | None = None) -> WorstCase:
    """What is left standing when every attack of `cells` is tried on every sample.

    Per sample 1 - max(1 - clean_correct, misclassified by any image inside the budget). With `norm` and `eps` any
    success of any attack at distance <= eps counts, whatever norm it minimised. A sample that an attack has not
    reached yet counts as not broken by it, so the result stays an upper bound of robust accuracy. On a randomised
    model the maximum over attacks of rates from a few draws errs against the defence.
    """
    ids = np.unique(np.concatenate([cell.columns["id"] for cell in cells])) if cells else np.empty(0, np.int64)
    clean, hit = np.ones(len(ids)), np.zeros(len(ids))
    gradients, queries = np.zeros(len(ids)), np.zeros(len(ids))
    for cell in cells:
        columns = _sorted(cell.columns)
        at = np.searchsorted(ids, columns["id"])
        clean[at] = np.minimum(clean[at], columns["clean_correct"])
        if cell.meta.get("clean_only"):
            continue
        hit[at] = np.maximum(hit[at], _inside(cell, columns, norm, eps))
        gradients[at] += columns["backwards"]
        queries[at] += columns["forwards"]
    return WorstCase(ids, clean, 1 - np.maximum(1 - clean, hit), gradients, queries)


def _inside(cell: CellRows, columns: Columns, norm: str | None, eps: float | None) -> Array:
    if norm is None or eps is None:
        return broken(columns)
    near = distortion(columns, norm) <= eps + SLACK
    own = cell.meta.get("eps")
    if norm_of(cell) == norm and own is not None and own <= eps + SLACK:
        near = near | ~np.asarray(columns["success"], bool)
    return np.where(near, broken(columns), 0.0)


def worst_curve(cells: Sequence[CellRows], norm: str, at: Array) -> Array:
    """Robust accuracy over `all` against `worst_case(cells, norm, eps)`, at every budget eps of `at`."""
    worst = worst_case(cells)
    if not len(worst.ids):
        return np.full(len(at), np.nan)
    # One event per sample and cell: from this distance on, this rate. A running maximum turns events into losses.
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
    standing: Array = 1 - total[np.searchsorted(distance[order], at + SLACK, side="right")] / len(worst.ids)
    return np.clip(standing, 0.0, 1.0)


def _events(cell: CellRows, norm: str, ids: Array) -> tuple[Array, Array, Array]:
    columns = _sorted(cell.columns)
    distance, own = distortion(columns, norm), cell.meta.get("eps")
    if norm_of(cell) == norm and own is not None:
        distance = np.where(columns["success"], distance, float(own))
    return distance, np.searchsorted(ids, columns["id"]), broken(columns)


def _sorted(columns: Columns) -> dict[str, Array]:
    _, first = np.unique(columns["id"], return_index=True)
    return select(columns, first)
