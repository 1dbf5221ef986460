"""Verdict in plain words: an upper bound per judged network, never praise."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vauban.report.run import plain_sentence
from vauban.report.run.attack_labels import attack_labels
from vauban.report.run.attack_stages import stage_sentences
from vauban.report.run.doubts import cell_doubts, invalid_codes
from vauban.report.run.evidence import breaking_cells, evidence
from vauban.report.run.judged_cells import (
    attacked_cells,
    budgets,
    current_cells,
    every_budget,
    judged_network,
    undefended_first,
)
from vauban.report.run.paired_difference import against_undefended
from vauban.report.run.remarks import remarks
from vauban.report.run.result_rows import mean_cost
from vauban.report.shared import format as fmt
from vauban.statistics.combine import group, nearest_success, norm_of, worst_case
from vauban.statistics.estimates import Estimate, median, rate
from vauban.store import CellRows, Run

CAVEAT = (
    "An interval covers the sampling of the images only, not the weakness of the attacks. "
    "Robust accuracy measured by attacks is an upper bound: a stronger attack can lower it, none of these can raise it."
)


@dataclass(frozen=True)
class BudgetBound:
    """Robust accuracy over `all` within one budget, worst case over every attack and threat of the run.

    Attributes:
        norm: The norm of the budget.
        eps: The budget in pixels of [0,1].
        robust: The accuracy with its 95 % interval.
        gradients: Backward passes per sample, of all attacks together.
        queries: Forward passes per sample, of all attacks together.
        sentence: The bound as a sentence.
        evidence: The cells that it rests on, in sentences.
    """

    norm: str
    eps: float
    robust: Estimate
    gradients: float
    queries: float
    sentence: str
    evidence: str = ""

    @property
    def budget(self) -> str:
        """The budget as `L∞ 8/255`."""
        return f"{fmt.norm_name(self.norm)} {fmt.distance(self.eps, self.norm)}"


@dataclass(frozen=True)
class MinimalDistance:
    """Smallest distance over the attacks that minimise one norm, over the correctly classified images.

    Attributes:
        norm: The norm.
        p_suc: The share of the images that any attack broke.
        median: The median distance, failures infinite; nan without correct images.
        sentence: The distance as a sentence.
    """

    norm: str
    p_suc: Estimate
    median: float
    sentence: str

    @property
    def median_exists(self) -> bool:
        """Whether more than half of the images were broken, so that the median is finite."""
        return math.isfinite(self.median)


@dataclass(frozen=True)
class Headline:
    """Verdict on one network: bounds at budgets, smallest distances, and what is missing.

    Attributes:
        model: The model.
        defence: The defence in front of it, `none` without one.
        data: The data set.
        clean: Accuracy without attack.
        bounds: One bound per norm that has a budget: the one that most attacks share.
        minimal: One smallest distance per norm that an attack minimises.
        unfinished: The number of judged cells that lack samples.
        stale: The number of cells whose code or network has changed since.
        only_stale: Whether all cells are stale, so that they are counted.
        invalid: Codes of the findings after which the numbers cannot be relied on.
        earlier: The number of judged cells of each earlier version of vauban.
        remarks: What the numbers count, as sentences.
        plain: The verdict as a sentence without terms of the field.
        stages: The accuracy after each attack of a cascade or of the standard battery, a sentence for each cell.
        other_bounds: The bounds at every other budget, which gates check too.
    """

    model: str
    defence: str
    data: str
    clean: Estimate
    bounds: tuple[BudgetBound, ...]
    minimal: tuple[MinimalDistance, ...]
    unfinished: int
    stale: int
    only_stale: bool
    invalid: tuple[str, ...]
    earlier: tuple[tuple[str, int], ...] = ()
    remarks: tuple[str, ...] = ()
    plain: str = ""
    stages: tuple[str, ...] = ()
    other_bounds: tuple[BudgetBound, ...] = ()

    @property
    def standing(self) -> bool:
        """Whether any attack left an image that it did not break."""
        return any(bound.robust.value > 0 for bound in self.bounds) or any(m.p_suc.value < 1 for m in self.minimal)

    @property
    def lowest(self) -> float:
        """The lowest robust accuracy among the bounds; the clean accuracy where no budget was tried."""
        return min((bound.robust.value for bound in self.bounds), default=self.clean.value)


def headlines(run: Run) -> list[Headline]:
    """One headline per model, defence and data set, in the order of the names."""
    cells = attacked_cells(run)
    labels = attack_labels(cells)
    groups = group(cells, judged_network)
    shown = [
        _headline(key, groups[key], groups.get((key[0], "none", key[2]), []), labels, run.findings)
        for key in sorted(groups, key=undefended_first)
    ]
    adapted = run.study.get("adapted") or {}
    return [replace(h, remarks=(*h.remarks, *_adapted(adapted.get(f"{h.model} | {h.defence}")))) for h in shown]


def _adapted(seen: str | None) -> tuple[str, ...]:
    """What the automatic threat saw and did, as a sentence; nothing where it was not there."""
    return () if seen is None else (f"Threat auto: {seen.rstrip('.')}.",)


def _headline(
    key: tuple[str, str, str],
    cells: list[CellRows],
    bare: list[CellRows],
    labels: dict[str, str],
    findings: list[dict[str, Any]],
) -> Headline:
    # 'removed' judges the network without its defence: its rows say nothing about the defended one.
    defended = [cell for cell in cells if not str(cell.meta.get("threat")).startswith("removed")]
    judged, undefended = current_cells(defended), current_cells(bare) if key[1] != "none" else []
    invalid = invalid_codes(judged, findings)
    doubted = [cell for cell in judged if cell_doubts(cell, findings)]
    bounds = []
    for norm, eps in sorted(budgets(judged).items()):
        rests = evidence(breaking_cells(judged, norm, eps), labels, doubted, bool(invalid))
        bounds.append(replace(_bound(judged, undefended, norm, eps, labels), evidence=rests))
    at_others = sorted(set(every_budget(judged)) - {(bound.norm, bound.eps) for bound in bounds})
    free = group([cell for cell in judged if cell.meta.get("eps") is None], norm_of)
    minimal = tuple(_minimal(members, norm, labels) for norm, members in sorted(free.items()))
    return Headline(
        *key,
        rate(worst_case(judged or cells).clean_of_all),
        tuple(bounds),
        minimal,
        unfinished=sum(not cell.complete for cell in judged),
        stale=sum(cell.stale for cell in defended),
        only_stale=bool(defended) and all(cell.stale for cell in defended),
        invalid=invalid,
        earlier=tuple(sorted(Counter(cell.earlier_version for cell in judged if cell.earlier_version).items())),
        remarks=tuple(f"{remark}." for remark in remarks(judged or cells)),
        plain=_plain(key, judged, bounds, free) + (plain_sentence.DOUBT if invalid else ""),
        stages=stage_sentences(judged, labels),
        other_bounds=tuple(_bound(judged, undefended, norm, eps, labels) for norm, eps in at_others),
    )


def _plain(
    key: tuple[str, str, str], judged: list[CellRows], bounds: list[BudgetBound], free: dict[str, list[CellRows]]
) -> str:
    """The sentence on the lowest bound; on the first norm that is minimised where there is no budget."""
    who = key[0] if key[1] == "none" else f"{key[0]} behind {key[1]}"
    if bounds:
        lowest = min(bounds, key=lambda bound: bound.robust.value)
        return plain_sentence.at_budget(judged, lowest.norm, lowest.eps, who)
    for norm, members in sorted(free.items()):
        return plain_sentence.without_budget(members, norm, who)
    return ""


def _attackers(cells: list[CellRows], labels: dict[str, str]) -> str:
    return fmt.enumeration(sorted({labels[cell.meta["hash"]] for cell in cells}))


def _bound(cells: list[CellRows], bare: list[CellRows], norm: str, eps: float, labels: dict[str, str]) -> BudgetBound:
    worst = worst_case(cells, norm, eps)
    robust, (gradients, queries) = rate(worst.robust), mean_cost(worst)
    at = f"{fmt.norm_name(norm)} {fmt.distance(eps, norm)}"
    everything = robust.n == len(worst.clean_of_all) and robust.n > 1
    over = f"{'all ' if everything else ''}{fmt.plural(robust.n, 'image')}"
    left = "The remaining images were not broken" if robust.value > 0 else "Every image was broken"
    sentence = (
        f"Robust accuracy at {at} is at most {fmt.percent(robust.value)} "
        f"(95\u00a0% interval {100 * robust.interval.low:.1f} to {fmt.percent(robust.interval.high)}, "
        f"{over}). {left} by {_attackers(cells, labels)} at "
        f"{fmt.count(queries)} forward and {fmt.plural(gradients, 'backward pass')} per image."
    )
    compared = against_undefended(cells, [c for c in bare if norm_of(c) == norm], norm, eps)
    return BudgetBound(norm, eps, robust, gradients, queries, f"{sentence} {compared}" if compared else sentence)


def _minimal(cells: list[CellRows], norm: str, labels: dict[str, str]) -> MinimalDistance:
    closest = nearest_success(cells, norm)
    distance = closest.distance[closest.correct]
    middle, broken = median(distance), rate(np.isfinite(distance))
    return MinimalDistance(norm, broken, middle.value, _smallest(cells, norm, labels, middle, broken))


def _smallest(cells: list[CellRows], norm: str, labels: dict[str, str], middle: Estimate, broken: Estimate) -> str:
    """The median distance as a sentence; that there is none where too few images were broken."""
    attackers, images = _attackers(cells, labels), fmt.plural(broken.n, "correctly classified image")
    if not broken.n:
        return f"No smallest perturbation by {attackers}: no image is classified correctly."
    if math.isinf(middle.value):
        return (
            f"No median {fmt.norm_name(norm)} distance by {attackers}: "
            f"{'the' if broken.n == 1 else 'at most half of the'} {images} {'was not' if broken.n == 1 else 'were'} broken "
            f"({fmt.percent(broken.value)})."
        )
    return (
        f"Smallest perturbation found by {attackers}: median {fmt.norm_name(norm)} distance "
        f"{fmt.distance(middle.value, norm)} (95\u00a0% interval {fmt.distance(middle.interval.low, norm)} to "
        f"{fmt.distance(middle.interval.high, norm)}) over the {images}, of which "
        f"{fmt.percent(broken.value)} {'was' if broken.n == 1 else 'were'} broken; failures count as infinite."
    )
