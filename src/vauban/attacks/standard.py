"""Standard battery: the attack that every evaluation at a budget starts with; it replaces AutoAttack here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.blackbox.square import Square
from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.fixed_budget.apgd_t import APGDT
from vauban.attacks.fixed_budget.pgd import random_start
from vauban.attacks.fixed_budget.random_noise import RandomNoise
from vauban.attacks.minimal.fmn import FMN
from vauban.core.errors import BudgetSpent
from vauban.core.losses import cross_entropy, margin
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.parameters import Count
from vauban.core.tensors import flat
from vauban.engine import Attack, Cascade, Oracle, Result, StopInside
from vauban.engine.result import untouched


@registry.register("standard", norms=("linf", "l2", "l1"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class Standard(Attack):
    """A cascade of five different attacks, each on what the ones before left standing; per sample the worst case.

    Random noise (a control that costs two queries), APGD on the cross-entropy, APGD on the targeted DLR toward the
    likeliest wrong classes, FMN inside the ball, Square. The same three families as AutoAttack (Croce and Hein,
    arXiv:2003.01690): its FAB is FMN here, and it asks Square for 5000 queries. Where the margin has no gradient at all,
    at the image and at a random point of the ball, gradient attacks have nothing to follow: such a sample gets noise,
    APGD and `blind_queries` of Square. On a randomised model every attack runs to its end and the image is kept that the
    most draws call adversarial. Square is left out in L1, and in L2 on vectors, where it is not defined. The column
    `broken_by` says which of the five broke an image, and the verdict the accuracy after each.

    Attributes:
        ball: The budget, in linf, l2 or l1.
        steps: Gradients of each gradient attack.
        n_target: Wrong classes that the targeted APGD is run toward.
        queries: Of Square.
        blind_queries: Of Square, for a sample without a gradient.

    Raises:
        ContractError: A value outside its range.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 100
    n_target: Count = 9
    queries: Count = 1000
    blind_queries: Count = 5000

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks and that has a gradient."""
        gradients = self.steps * (2 + self.n_target) + 2
        return gradients + self.n_target + self.queries + 7, gradients

    @property
    def members(self) -> tuple[Attack, ...]:
        """The attacks that it runs on images."""
        return self.parts()

    def parts(self, vectors: bool = False, blind: bool = False) -> tuple[Attack, ...]:
        """The attacks in the order in which they run.

        Args:
            vectors: Whether the inputs are vectors.
            blind: Whether the samples have no gradient.
        """
        chosen: list[Attack] = [RandomNoise(self.ball, steps=2), APGD(self.ball, self.steps, loss=cross_entropy)]
        square = self.ball.norm is not L1 and not (vectors and self.ball.norm is L2)
        if not (blind and square):
            chosen.append(APGDT(self.ball, self.steps, self.n_target))
            chosen.append(StopInside(FMN(self.steps, self.ball.norm), self.ball))
        if square:
            chosen.append(Square(self.ball, self.blind_queries if blind else self.queries))
        return tuple(chosen)

    def stages_on(self, shape: Sequence[int]) -> tuple[Attack, ...]:
        """The attacks in their order, as `Result.broken_by` counts them; a sample without a gradient is spared some."""
        return self.parts(vectors=len(shape) == 1)

    def run(self, oracle: Oracle) -> Result:
        total = untouched(oracle.domain.x0)
        blind, cost = self._blind(oracle.confined(self.ball))
        kinds = [type(stage) for stage in self.stages_on(oracle.domain.x0.shape[1:])]
        for rows, flag in ((~blind, False), (blind, True)):
            index = rows.nonzero().squeeze(1)
            if len(index):
                parts = self.parts(vectors=oracle.domain.x0.dim() == 2, blind=flag)
                part = Cascade(parts).run(oracle.rows(index))
                place = torch.tensor([kinds.index(type(attack)) for attack in parts], device=part.broken_by.device)
                broken_by = torch.where(part.broken_by >= 0, place[part.broken_by], -1)
                total = total.spread(index, replace(part, broken_by=broken_by))
        first = torch.where(total.first >= 0, total.first + cost, total.first)
        return replace(total, forwards=total.forwards + cost, backwards=total.backwards + cost, first=first)

    def _blind(self, oracle: Oracle) -> tuple[Tensor, int]:
        """Where the margin has no gradient at the image nor at a random point.

        A query budget that does not allow for two gradients leaves nobody blind.

        Returns:
            Which rows, `(batch,)`, and how many gradients it took to know.
        """
        blind = torch.ones(len(oracle), dtype=torch.bool, device=oracle.domain.x0.device)
        for taken, point in enumerate((oracle.domain.x0, random_start(oracle))):
            try:
                _, (g,) = oracle.gradient(point, margin)
            except BudgetSpent:
                return torch.zeros_like(blind), taken
            blind = blind & (flat(g) == 0).all(1)
        return blind, 2


def standard(ball: Ball) -> Standard:
    """The battery at a budget, with its default effort: `attacks.standard(Linf(8 / 255))`."""
    return Standard(ball)
