"""Comparisons between finished cells, in numpy: attacks that should be weaker and are not (Carlini et al.,
arXiv:1902.06705), sample by sample and not on averages."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from vauban.core.tolerance import upper_limit
from vauban.evaluate.diagnostics import indicators_rules as rules
from vauban.evaluate.diagnostics.findings import Finding, Measured, Rule
from vauban.statistics.summary import aimed, select, tolerance_of

Columns = Mapping[str, npt.NDArray[Any]]
Flags = npt.NDArray[np.bool_]
ELSEWHERE = frozenset({"transfer", "gray-box"})  # threats whose gradients are another network's
DETOURS = frozenset({"illc", "otcm"})  # attacks that head for one class and need not contain an untargeted step
SURE = 0.25  # of a random model's draws: between this and one minus this, success is a matter of luck


@dataclass(frozen=True, eq=False)
class Rows:
    """One cell: the samples it broke, those it left standing, and the distance of what it found."""

    meta: Mapping[str, Any]
    ids: npt.NDArray[Any]
    won: Flags
    standing: Flags
    distance: npt.NDArray[Any]

    @classmethod
    def read(cls, meta: Mapping[str, Any], columns: Columns) -> Rows:
        columns = select(columns, aimed(columns)) if "target" in columns else columns
        success = np.asarray(columns["success"], dtype=bool)
        reached = np.asarray(columns.get("reached", success), dtype=float)
        lucky = (reached > SURE) & (reached < 1 - SURE)
        norm = str(meta.get("norm"))
        distance = np.asarray(columns[norm] if norm in columns else np.zeros(len(success)), dtype=float)
        ids = np.asarray(columns.get("id", np.arange(len(success))))
        return cls(meta, ids, success & ~lucky, ~success & ~lucky, distance)

    @property
    def name(self) -> str:
        return str(self.meta["attack"]).partition(":")[0]

    @property
    def threat(self) -> str:
        return str(self.meta["threat"]).partition(":")[0]

    @property
    def noise(self) -> bool:
        return self.name == "random-noise"

    @property
    def gradients(self) -> bool:
        return bool(self.meta["needs"] == "gradients")

    def within(self, eps: float) -> tuple[Flags, Flags]:
        """(broken, standing) at the budget eps; an attack at a fixed budget has only its own."""
        if self.meta.get("eps") is not None:
            return self.won, self.standing
        near = self.distance <= upper_limit(eps, tolerance_of(self.meta))
        return self.won & near, self.standing | ~near


def across(cells: Sequence[tuple[Mapping[str, Any], Columns]]) -> list[tuple[str, Finding]]:
    """Findings between cells of one model, defence, data and goal, each with the hash of the cell it is about, or a label
    'model | defence | threat' where it is about several.

    A cell is (meta, columns): meta has hash, model, defence, data, threat, attack, goal, norm, eps (None for a minimal
    attack), needs, one_step; columns has `success` and the distances, aligned by `id`. Cells without an attack are
    passed over, and those under the threat `removed`, where another network is judged.
    """
    groups: dict[tuple[str, ...], list[Rows]] = defaultdict(list)
    for meta, columns in cells:
        rows = Rows.read(meta, columns) if meta.get("needs") and not meta.get("clean_only") else None
        if rows is not None and rows.threat != "removed":
            groups[tuple(str(meta[key]) for key in ("model", "defence", "data", "goal"))].append(rows)
    return [
        (label, measured.finding())
        for group in groups.values()
        for label, measured in [*_orders(group), *_monotone(group)]
        if measured.fires
    ]


def compare(cells: Sequence[tuple[Mapping[str, Any], Columns]]) -> list[tuple[str, Measured]]:
    """What every comparison of one group saw, also those that stay silent."""
    group = [Rows.read(meta, columns) for meta, columns in cells]
    return [*_orders(group), *_monotone(group)]


def _orders(group: Sequence[Rows]) -> Iterator[tuple[str, Measured]]:
    """Each attack that should lose against those that should win, at equal norm and eps."""
    for norm, eps in sorted({(str(c.meta["norm"]), float(c.meta["eps"])) for c in group if c.meta.get("eps")}):
        here = [c for c in group if c.meta["norm"] == norm and c.meta.get("eps") in (None, eps)]
        at = {"norm": norm, "eps": eps}
        for threat in sorted({str(c.meta["threat"]) for c in here}):
            own = [c for c in here if c.meta["threat"] == threat and c.gradients and c.name not in DETOURS]
            many = [c for c in own if not c.meta["one_step"]]
            if own and own[0].threat in ELSEWHERE:
                continue
            for c in own:
                yield from _beaten(rules.NOISE_CELL, [n for n in here if n.noise], [c], {**at, "attack": c.name})
            yield from _beaten(rules.ONE_STEP, [c for c in own if c.meta["one_step"]], many, at)
            for c in here:
                named = {**at, "attack": c.meta["attack"]}
                if not c.gradients and not c.noise and c.meta["needs"] in ("scores", "labels"):
                    yield from _beaten(rules.BLACK_BOX, [c], many, named)
                elif c.gradients and c.threat in ELSEWHERE:
                    yield from _beaten(rules.TRANSFER_CELL, [c], many, named)


def _monotone(group: Sequence[Rows]) -> Iterator[tuple[str, Measured]]:
    """Separate runs of one attack at increasing eps: what a smaller one broke, the next larger one must break."""
    runs: dict[tuple[str, ...], list[Rows]] = defaultdict(list)
    for c in group:
        if c.meta.get("eps"):
            key = re.sub(r"[:,]eps=[^,]*", "", str(c.meta["attack"]))
            runs[key, str(c.meta["threat"]), str(c.meta["norm"])].append(c)
    for same in runs.values():
        same.sort(key=lambda c: float(c.meta["eps"]))
        for small, large in pairwise(same):
            if small.meta["eps"] < large.meta["eps"]:
                facts = {"norm": small.meta["norm"], "small": small.meta["eps"], "eps": large.meta["eps"]}
                yield from _beaten(rules.NOT_MONOTONE, [small], [large], facts)


def _beaten(
    rule: Rule, weaker: Sequence[Rows], stronger: Sequence[Rows], facts: Mapping[str, Any]
) -> Iterator[tuple[str, Measured]]:
    """Samples that any of `weaker` breaks and all of `stronger` leave standing, among those that all cells have."""
    if not weaker or not stronger:
        return
    ids = stronger[0].ids
    for c in (*weaker, *stronger[1:]):
        ids = np.intersect1d(ids, c.ids)
    if not len(ids):
        return
    won = np.any([_at(c, c.within(facts["eps"])[0], ids) for c in weaker], axis=0)
    left = np.all([_at(c, c.within(facts["eps"])[1], ids) for c in stronger], axis=0)
    about = stronger[0].meta
    label = " | ".join(str(about[key]) for key in ("model", "defence", "threat"))
    yield (str(about["hash"]) if len(stronger) == 1 else label), rule.on(int((won & left).sum()), len(ids), **facts)


def _at(cell: Rows, flags: Flags, ids: npt.NDArray[Any]) -> Flags:
    order = np.argsort(cell.ids, kind="stable")
    matched: Flags = flags[order[np.searchsorted(cell.ids, ids, sorter=order)]]
    return matched
