"""Ranking within one budget: by robust accuracy, with the ranks that the images can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vauban.report.leaderboard.contenders import Contender, attack_names, contenders
from vauban.report.run.result_rows import mean_cost
from vauban.report.run.summary import estimate
from vauban.report.shared import format as fmt
from vauban.statistics.combine import WorstCase, worst_case
from vauban.statistics.difference import difference
from vauban.statistics.estimates import Estimate, rate
from vauban.statistics.intervals import paired_difference
from vauban.store import Run

FORMAT = 1
"""Version of the JSON form."""


@dataclass(frozen=True)
class RankedNetwork:
    """One line of a ranking.

    Attributes:
        rank: One more than the networks that are better beyond chance; None for one whose number cannot be relied on.
        tied: The places, from 1, of the ranked networks that the images do not tell from it.
        contender: The network.
        clean, robust: Accuracy without attack, and within the budget under the worst of all attacks, over all images.
        gradients, queries: Backward and forward passes per image, of all attacks together.
    """

    rank: int | None
    tied: tuple[int, ...]
    contender: Contender
    clean: Estimate
    robust: Estimate
    gradients: float
    queries: float


@dataclass(frozen=True)
class Ranking:
    """The networks within one budget, the best first, those that cannot be relied on behind all others.

    Attributes:
        norm, eps: The budget, eps in pixels of [0,1].
        lines: One for each network.
    """

    norm: str
    eps: float
    lines: tuple[RankedNetwork, ...]

    @property
    def budget(self) -> str:
        """The budget as `L∞ 8/255`."""
        return f"{fmt.norm_name(self.norm)} {fmt.distance(self.eps, self.norm)}"


@dataclass(frozen=True)
class Leaderboard:
    """Rankings of the same networks, one for each budget.

    Attributes:
        data: The data set.
        images: Number of images.
        goal: Of the attacks.
        attacks: Their names.
        rankings: One for each norm and radius.
    """

    data: str
    images: int
    goal: str
    attacks: tuple[str, ...]
    rankings: tuple[Ranking, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON, `format` its version."""
        shared = {"data": self.data, "images": self.images, "goal": self.goal, "attacks": list(self.attacks)}
        rankings = [
            {"norm": ranking.norm, "eps": ranking.eps, "networks": [_line_as_dict(line) for line in ranking.lines]}
            for ranking in self.rankings
        ]
        return {"format": FORMAT, **shared, "rankings": rankings}


def leaderboard(runs: Sequence[Run]) -> Leaderboard:
    """Rank the networks of several finished runs.

    Two networks are told apart where the 95 % interval of the difference of their robust accuracies, paired over the same
    images, holds no zero; of random networks, whose rates lie between 0 and 1, the interval takes them for independent.

    Raises:
        ContractError: As `contenders`.
    """
    several = contenders(runs)
    first = several[0]
    return Leaderboard(
        first.data,
        len(first.cells[0].columns["id"]),
        str(first.cells[0].meta.get("goal")),
        tuple(attack_names(several)),
        tuple(_ranking(several, norm, eps) for norm, eps in first.budgets),
    )


def _ranking(several: Sequence[Contender], norm: str, eps: float) -> Ranking:
    worst = [worst_case(contender.cells, norm, eps) for contender in several]
    order = sorted(
        range(len(several)),
        key=lambda i: (bool(several[i].invalid), -float(worst[i].robust.mean()), several[i].name, several[i].folder),
    )
    ranked = [i for i in order if not several[i].invalid]
    beaten = {i: [j for j in ranked if j != i and _better(worst[j], worst[i])] for i in ranked}
    lines = []
    for i in order:
        apart = {*beaten.get(i, ()), *(j for j in ranked if i in beaten[j])}
        tied = tuple(place for place, j in enumerate(ranked, 1) if j != i and j not in apart)
        lines.append(
            RankedNetwork(
                None if several[i].invalid else 1 + len(beaten[i]),
                () if several[i].invalid else tied,
                several[i],
                rate(worst[i].clean_of_all),
                rate(worst[i].robust),
                *mean_cost(worst[i]),
            )
        )
    return Ranking(norm, eps, tuple(lines))


def _better(one: WorstCase, other: WorstCase) -> bool:
    """Whether a network is better than another beyond chance, on the images that both were attacked on."""
    _, first, second = np.intersect1d(one.ids, other.ids, return_indices=True)
    a, b = one.robust[first], other.robust[second]
    if np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all():
        return paired_difference(a > 0, b > 0).low > 0
    return difference(rate(a), rate(b)).low > 0


def _line_as_dict(line: RankedNetwork) -> dict[str, Any]:
    contender = line.contender
    return {
        "rank": line.rank,
        "tied": list(line.tied),
        "model": contender.model,
        "defence": contender.defence,
        "folder": contender.folder,
        "clean_accuracy": estimate(line.clean),
        "robust_accuracy": estimate(line.robust),
        "gradients": line.gradients,
        "queries": line.queries,
        "invalid": list(contender.invalid),
        "notes": list(contender.notes),
    }
