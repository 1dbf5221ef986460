"""Paired comparison of two runs on the same images: which networks lost accuracy, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vauban.core.errors import ContractError
from vauban.report.run.doubts import invalid_codes
from vauban.report.run.gate import Check, check_share, unfinished
from vauban.report.run.judged_cells import attacked_cells, current_cells, every_budget, planned_run, undefended_first
from vauban.report.run.paired_threats import paired_threats
from vauban.report.shared import format as fmt
from vauban.statistics.combine import group, norm_of, worst_case
from vauban.statistics.intervals import Array, Interval, mcnemar, paired_difference
from vauban.store import CellRows, Run

Network = tuple[str, str]
"""Model and defence."""


@dataclass(frozen=True)
class PairedRates:
    """One accuracy of a network in two runs, over the same images.

    An image counts as right where more than half of the draws of a random network are.

    Attributes:
        network: The network, with both names where the runs have different ones.
        quantity: `clean accuracy`, or `robust accuracy at L∞ 8/255`.
        threats: The threats whose worst case it is, in words.
        n: Number of images.
        base, new: The accuracies, in [0,1].
        lost: Images that are right in the base alone.
        gained: Images that are right in the new run alone.
        difference: 95 % interval of new - base (Newcombe's method 10).
        p: Exact two-sided McNemar test of equal accuracies.
    """

    network: str
    quantity: str
    threats: str
    n: int
    base: float
    new: float
    lost: int
    gained: int
    difference: Interval
    p: float

    @property
    def robust(self) -> bool:
        """Whether it is an accuracy under attack."""
        return self.quantity != "clean accuracy"

    def dropped(self, significance: float) -> bool:
        """Whether the new accuracy is lower, and chance alone a poorer explanation than `significance`."""
        return self.new < self.base and self.p < significance


class _Pair(NamedTuple):
    name: str
    base: list[CellRows]
    new: list[CellRows]
    threats: str


def paired_rates(base: Run, new: Run) -> list[PairedRates]:
    """Clean accuracy of each network, and its robust accuracy within each budget, in two runs.

    The robust accuracy is the worst case over the attacks of a run under the threats that both have (`paired_threats`).
    For a norm without an attack at a budget it is that within the conventional budget of the data, from the nearest
    images.

    Args:
        base: The run that is compared with.
        new: The run that is compared.

    Raises:
        ContractError: The runs are on different images, judge other networks, or attacked them otherwise; it says which
            options to add.
    """
    rates = []
    for pair in _pairs(base, new):
        rates.append(_rates(pair, "clean accuracy"))
        for norm, eps in _budgets(pair.base):
            at = f"robust accuracy at {fmt.norm_name(norm)} {fmt.distance(eps, norm)}"
            rates.append(_rates(pair, at, norm, eps))
    return rates


def comparison_checks(base: Run, new: Run, significance: float = 0.05) -> list[Check]:
    """A check of each robust accuracy: it fails where it has dropped, and where either number cannot be relied on.

    Args:
        base: The run that is compared with.
        new: The run that is compared.
        significance: Share of gates that fail by chance alone, at most, where nothing has changed.

    Raises:
        ContractError: As `paired_rates`, and a significance that is no share.
    """
    check_share("--significance", significance)
    doubts = {pair.name: _doubts(base, new, pair) for pair in _pairs(base, new)}
    checks = []
    for row in paired_rates(base, new):
        failures = list(doubts[row.network]) if row.robust else []
        if row.robust and row.dropped(significance):
            failures.insert(0, f"dropped from {row.base:.3f} to {row.new:.3f}: {sentence(row)}")
        checks.append(Check("comparison", f"{row.network}: {row.quantity}", tuple(failures), (sentence(row),)))
    return checks


def sentence(row: PairedRates) -> str:
    """The difference with its interval and test, in words."""
    low, high = row.difference
    return (
        f"{100 * (row.new - row.base):+.1f} points on the same {fmt.plural(row.n, 'image')} (95\u00a0% interval "
        f"{100 * low:+.1f} to {100 * high:+.1f}), {row.lost} lost and {row.gained} gained, exact McNemar p = {row.p:.2g}"
    )


def _pairs(base: Run, new: Run) -> list[_Pair]:
    """The cells of each network in both runs; the only model, and the only network, of a run may have another name."""
    before, after = _networks(base), _networks(new)
    names = {network: _name(network) for network in before}
    same = _matched(list(before), list(after))
    if set(same) != set(before) or set(same.values()) != set(after):
        network = min((set(before) - set(same)) | (set(after) - set(same.values())))
        where = base.path if network in before else new.path
        raise ContractError(
            "expected the same models and defences in both runs, or one model or one network in each, got "
            f"{_name(network)} in {where} alone; give both runs the same --model and --defence, or one of each"
        )
    pairs = []
    for network in sorted(before, key=undefended_first):
        now = _name(same[network])
        _check_images(names[network], before[network], after[same[network]])
        name = names[network] if now == names[network] else f"{names[network]} → {now}"
        pairs.append(_Pair(name, *paired_threats(name, before[network], after[same[network]])))
    return pairs


def _matched(before: list[Network], after: list[Network]) -> dict[Network, Network]:
    """Each network of the base with the one that it is compared with, where there is one."""
    if len(before) == len(after) == 1:
        return {before[0]: after[0]}
    if len({model for model, _ in before}) == len({model for model, _ in after}) == 1:
        defences = {defence: (model, defence) for model, defence in after}
        return {network: defences[network[1]] for network in before if network[1] in defences}
    return {network: network for network in before if network in after}


def _networks(run: Run) -> dict[Network, list[CellRows]]:
    """Current cells of the last plan by network; those of the threat `removed` judge another one."""
    cells = [c for c in attacked_cells(planned_run(run)) if not str(c.meta.get("threat")).startswith("removed")]
    if not cells:
        raise ContractError(f"{run.path}: expected a run with rows of its last plan, got none; run it to the end first")
    groups = group(cells, lambda cell: (str(cell.meta.get("model")), str(cell.meta.get("defence") or "none")))
    return {network: current_cells(members) for network, members in groups.items()}


def _name(network: Network) -> str:
    return network[0] if network[1] == "none" else f"{network[0]} behind {network[1]}"


def _check_images(name: str, before: list[CellRows], after: list[CellRows]) -> None:
    """Refuse two runs of a network on different images or labels."""
    old, now = ({str(cell.meta.get("data_fingerprint")) for cell in cells} for cells in (before, after))
    if old != now:
        raise ContractError(
            f"{name}: expected runs on the same images and labels to compare them image by image, got {_data(before)} and "
            f"{_data(after)}; give both runs the same --data and --labels"
        )


def _data(cells: list[CellRows]) -> str:
    return ", ".join(
        sorted(
            {
                f"{cell.meta.get('n')} of {cell.meta.get('data')} (content {str(cell.meta.get('data_fingerprint'))[:8]})"
                for cell in cells
            }
        )
    )


def _budgets(cells: list[CellRows]) -> list[tuple[str, float]]:
    """Every budget of the attacks; of a norm without one the data's conventional budget."""
    given = every_budget(cells)
    usual = {norm_of(cell): cell.meta.get("d_upp") for cell in cells if cell.meta.get("eps") is None}
    limited = {norm for norm, _ in given}
    return sorted([*given, *((n, float(eps)) for n, eps in usual.items() if eps is not None and n not in limited)])


def _rates(pair: _Pair, quantity: str, norm: str | None = None, eps: float | None = None) -> PairedRates:
    right: list[Array] = []
    ids: list[Array] = []
    for cells in (pair.base, pair.new):
        worst = worst_case(cells, norm, eps)
        right.append((worst.clean if norm is None else worst.robust) > 0.5)
        ids.append(worst.ids)
    shared, first, second = np.intersect1d(ids[0], ids[1], return_indices=True)
    old, now = right[0][first], right[1][second]
    return PairedRates(
        pair.name,
        quantity,
        pair.threats,
        len(shared),
        float(old.mean()) if len(shared) else float("nan"),
        float(now.mean()) if len(shared) else float("nan"),
        int((old & ~now).sum()),
        int((now & ~old).sum()),
        paired_difference(now, old),
        mcnemar(now, old),
    )


def _doubts(base: Run, new: Run, pair: _Pair) -> list[str]:
    """Why a difference proves nothing: rows are missing, or a number cannot be relied on."""
    doubts = []
    sides: list[tuple[str, Run, list[CellRows]]] = [("base", base, pair.base), ("new", new, pair.new)]
    for side, run, cells in sides:
        missing = [reason for cell in cells for reason in unfinished(cell)]
        if missing:
            doubts.append(f"the {side} run is unfinished: {missing[0]}")
        codes: tuple[Any, ...] = invalid_codes(cells, run.findings)
        if codes:
            doubts.append(f"the {side} robust accuracy cannot be relied on: invalid findings {', '.join(codes)}")
    return doubts
