"""Triage of the quick battery: how far an ascent of the margin came decides what a sample is given next.

The ratio r = m / m0 of the highest margin m that the ascent reached to that of the clean image, m0, is 1 where nothing
moved and falls to 0 at the boundary. A monotone change of the logits can fool it, and it says nothing where an attack
stalls: what is spared for it is audited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vauban.attacks.parts.ball_steps import heading
from vauban.core.errors import BudgetSpent, NoGradient
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import margin
from vauban.core.tensors import flat
from vauban.engine import Attack, Oracle, Result, Steps, iterate
from vauban.engine.result import untouched

TINY = 1e-12


@dataclass
class Stages:
    """Stages run one after the other on some rows of an oracle, and what came of it.

    Attributes:
        oracle: The rows.
        total: The result so far; the costs are filled in by `result`.
    """

    oracle: Oracle
    total: Result
    forwards: Tensor
    backwards: Tensor

    @classmethod
    def of(cls, oracle: Oracle) -> Stages:
        """Nothing run yet."""
        return cls(oracle, untouched(oracle.domain.x0), oracle.forwards.clone(), oracle.backwards.clone())

    @property
    def standing(self) -> Tensor:
        """Which rows nothing has broken yet, `(batch,)`."""
        return ~self.total.success

    def referring(self, rows: Tensor) -> Oracle:
        """The oracle, from now on with the clean logits of some rows as the reference of its goal; 1 forward of each.

        Args:
            rows: Numbers of the rows, `(n,)`, at least one.
        """
        clean = self.oracle.rows(rows).clean_logits()
        reference = clean.new_zeros(len(self.oracle), clean.shape[1]).index_copy(0, rows, clean)
        self.oracle = self.oracle.with_goal(replace(self.oracle.goal, reference=reference))
        return self.oracle

    def run(
        self, attack: Attack, rows: Tensor, stage: int, key: int = 0, toward: Tensor | None = None, keep: bool = False
    ) -> None:
        """Run an attack on the rows that still stand.

        Args:
            attack: The attack.
            rows: Rows that are meant, bool `(batch,)`.
            stage: Its number for `Result.broken_by`.
            key: Of the random numbers; 0 for the oracle's own.
            toward: The class that losses move toward, `(batch,)`; None: away from the label.
            keep: Hand over its image of highest loss, broken or not.
        """
        index = (rows & self.standing).nonzero().squeeze(1)
        if not len(index):
            return
        own, spent = self.oracle.rows(index), self.oracle.backwards[index] - self.backwards[index]
        own = own.fresh(key) if key else own
        own = own if toward is None else heading(own, toward[index])
        try:
            part = iterate(attack, own, keep="loss") if keep and isinstance(attack, Steps) else attack.run(own)
        except BudgetSpent:
            return
        mine, better = self.total.at(index), part.success
        chosen = mine.choose(replace(part, broken_by=torch.full_like(part.broken_by, stage)), better | keep)
        first = torch.where(better & (part.first >= 0), spent + part.first, mine.first)
        broken_by = torch.where(better, stage, mine.broken_by)
        self.total = self.total.spread(index, replace(chosen, first=first, broken_by=broken_by))

    def highest(self, ascents: Sequence[Attack], rows: Tensor) -> tuple[Tensor, Tensor]:
        """Run ascents of the margin as stages 1, 2, ...; a gradient after each, for the margin of the image it reached.

        Args:
            ascents: The attacks.
            rows: Rows that are meant, bool `(batch,)`.

        Returns:
            The images of highest margin `(batch, ...)` and their logits `(batch, classes)`, of the rows that still stand.
        """
        image = self.oracle.domain.x0.clone()
        top = image.new_full((len(image),), -torch.inf)
        logits = torch.zeros(len(top), self.oracle.classes, dtype=top.dtype, device=top.device)
        for stage, attack in enumerate(ascents, 1):
            self.run(attack, rows, stage, keep=True)
            index = (rows & self.standing).nonzero().squeeze(1)
            if not len(index):
                break
            own = self.oracle.rows(index)
            seen, _ = own.gradient(self.total.crafted[index], margin)
            reached = margin(seen, own.goal).to(top.dtype)
            mine = reached > top[index]
            better = index[mine]
            image[better], logits[better], top[better] = (
                self.total.crafted[better],
                seen[mine].to(top.dtype),
                reached[mine],
            )
        return image, logits

    def result(self, spared: Tensor) -> Result:
        """The result, with every pass that the rows have cost since the beginning."""
        return replace(
            self.total,
            forwards=self.oracle.forwards - self.forwards,
            backwards=self.oracle.backwards - self.backwards,
            spared=spared & self.standing,
        )


def remaining(goal: ResolvedGoal, reached: Tensor) -> Tensor:
    """The ratio r of the margin that was reached to that of the clean image, `(batch,)`; 1 where it is not finite.

    Args:
        goal: The goal of the rows, with the clean answers as reference.
        reached: Logits of the image of highest margin, `(batch, classes)`.
    """
    assert goal.reference is not None
    return (margin(reached, goal) / margin(goal.reference, goal).clamp_max(-TINY)).nan_to_num(1.0, 1.0, 1.0)


def blind_rows(oracle: Oracle, points: Sequence[Tensor]) -> tuple[Tensor, int]:
    """Rows whose margin has no gradient at any of some points: zero, not finite anywhere, or none that can be taken.

    A query budget that does not allow for all of them leaves nobody blind.

    Returns:
        Which rows, `(batch,)`, and how many gradients it took to know.
    """
    blind = torch.ones(len(oracle), dtype=torch.bool, device=oracle.domain.x0.device)
    for taken, point in enumerate(points):
        try:
            _, (g,) = oracle.gradient(point, margin)
        except BudgetSpent:
            return torch.zeros_like(blind), taken
        except NoGradient:
            return blind, taken + 1
        blind = blind & (flat(g) == 0).all(1)
    return blind, len(points)
