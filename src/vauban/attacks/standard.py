"""Standard battery: the attack that every evaluation at a budget starts with; it replaces AutoAttack here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.blackbox.hopskipjump import HopSkipJump
from vauban.attacks.blackbox.rays import RayS
from vauban.attacks.blackbox.square import Square
from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.fixed_budget.apgd_t import APGDT
from vauban.attacks.fixed_budget.pgd import random_start
from vauban.attacks.fixed_budget.random_noise import RandomNoise
from vauban.attacks.minimal.fmn import FMN
from vauban.attacks.parts.class_boundaries import nearest_classes
from vauban.attacks.parts.triage import Stages, blind_rows, remaining
from vauban.core.arguments import named_arguments
from vauban.core.errors import BudgetSpent
from vauban.core.losses import cross_entropy, margin, tempered_cross_entropy
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.parameters import Count
from vauban.engine import Attack, Cascade, Oracle, Result, StopInside
from vauban.engine.result import untouched

NEAREST, NEAR, MIDDLE = 0.02, 0.1, 0.5  # r up to which a sample is given Square, full and short targeted attacks
NEAR_CLASSES, MIDDLE_CLASSES = 4, 3  # wrong classes that are headed for
LABEL_STEPS = 20  # of HopSkipJump, some 6500 queries
SHORT = 4  # a short targeted attack has this part of the steps


@registry.register("standard", norms=("linf", "l2", "l1"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class Standard(Attack):
    """A cascade of different attacks, each on what the ones before left standing; per sample the worst case.

    Random noise (a control that costs two queries), APGD on the cross-entropy, APGD on the targeted DLR toward the
    likeliest wrong classes, FMN inside the ball, Square. The same three families as AutoAttack (Croce and Hein,
    arXiv:2003.01690): its FAB is FMN here, and it asks Square for 5000 queries. Where the margin has no gradient, at the
    image and at a random point of the ball, be it zero, not finite or cut off, gradient attacks have nothing to follow:
    such a sample gets noise, APGD (away from there its gradient may be there), `blind_queries` of Square, and last an
    attack by labels alone, RayS in L-infinity with as many queries, HopSkipJump else. On a randomised model every attack
    runs to its end and the image is kept that the most draws call adversarial. Square is left out in L1, and in L2 on
    vectors, where it is not defined. The column `broken_by` says which of these broke an image, and the verdict the
    accuracy after each.

    `effort="quick"` decides for each image how much it is worth. Noise, then APGD on the margin and on the cross-entropy
    (tempered, so that the scale of the logits changes nothing), half the steps each; r is the highest margin that they
    reached over that of the clean image. Up to `NEAR`: APGD on the margin from another start, and toward the four classes
    whose linearised boundaries are nearest. Up to `NEAREST`: Square too. From `NEAR` to `MIDDLE`: a quarter of the steps
    toward three classes. Beyond, nothing: the sample is `spared`. Since r can be fooled, quick is audited: of the samples
    that were spared max(30, 10 %), drawn by their ids, are given the full cascade, and all that stand are where that breaks
    one or a finding on gradients fires. Samples without a gradient and randomised models get the full cascade.

    Attributes:
        ball: The budget, in linf, l2 or l1.
        steps: Gradients of each gradient attack.
        n_target: Wrong classes that the targeted APGD is run toward.
        queries: Of Square.
        blind_queries: Of Square, and of RayS, for a sample without a gradient.
        effort: "full" gives every sample the whole cascade, "quick" as much as it is worth.

    Raises:
        ContractError: A value outside its range.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 100
    n_target: Count = 9
    queries: Count = 1000
    blind_queries: Count = 5000
    effort: Literal["quick", "full"] = "full"

    @property
    def audit(self) -> Attack | None:
        return replace(self, effort="full") if self.effort == "quick" else None

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks; quick: of one that is nearly broken."""
        if self.effort == "quick":
            gradients = 2 * self._half + self.steps * (1 + NEAR_CLASSES) + 13
            return gradients + self.queries + NEAR_CLASSES + 10, gradients
        gradients = self.steps * (2 + self.n_target) + 2
        return gradients + self.n_target + self.queries + 7, gradients

    @property
    def members(self) -> tuple[Attack, ...]:
        """The attacks that it runs on images, those that samples without a gradient alone are given included."""
        return self.parts()

    def parts(self, vectors: bool = False, blind: bool = False) -> tuple[Attack, ...]:
        """The attacks in the order in which they run; of samples with a gradient all but the last, of others all but two.

        Args:
            vectors: Whether the inputs are vectors.
            blind: Whether the samples have no gradient.
        """
        chosen: list[Attack] = [
            RandomNoise(self.ball, steps=2),
            APGD(self.ball, self.steps, loss=cross_entropy),
            APGDT(self.ball, self.steps, self.n_target),
            StopInside(FMN(self.steps, self.ball.norm), self.ball),
        ]
        if self._squares(vectors):
            chosen.append(Square(self.ball, self.blind_queries if blind else self.queries))
        labels = RayS(self.blind_queries) if self.ball.norm is Linf else HopSkipJump(LABEL_STEPS)
        return (*chosen, StopInside(labels, self.ball))

    def _places(self, vectors: bool, blind: bool) -> list[int]:
        """Numbers of the parts that a sample is given."""
        last = len(self.parts(vectors)) - 1
        return [place for place in range(last + 1) if place not in ((2, 3) if blind else (last,))]

    def quick_parts(self, vectors: bool = False) -> tuple[Attack, ...]:
        """The attacks of the quick effort, in their order; the last is the audit's."""
        ascents = [APGD(self.ball, self._half, loss=loss) for loss in (margin, tempered_cross_entropy)]
        chosen: list[Attack] = [RandomNoise(self.ball, steps=2), *ascents, APGD(self.ball, self.steps, loss=margin)]
        if self._squares(vectors):
            chosen.append(Square(self.ball, self.queries))
        return (*chosen, replace(self, effort="full"))

    @property
    def _half(self) -> int:
        return -(-self.steps // 2)

    def _squares(self, vectors: bool) -> bool:
        return self.ball.norm is not L1 and not (vectors and self.ball.norm is L2)

    def under(self, grants: frozenset[str], shape: Sequence[int]) -> Attack:
        """Without gradients every sample is one that has none: a cascade of noise, Square and an attack by labels."""
        return self if "gradients" in grants else Cascade(self.parts(len(shape) == 1, blind=True)).under(grants, shape)

    def stages_on(self, shape: Sequence[int]) -> tuple[Attack, ...]:
        """The attacks in their order, as `Result.broken_by` counts them; a sample without a gradient is spared some."""
        vectors = len(shape) == 1
        return self.quick_parts(vectors) if self.effort == "quick" else self.parts(vectors)

    def run(self, oracle: Oracle) -> Result:
        if self.effort == "quick":
            return self._quick(oracle)
        confined = oracle.confined(self.ball)
        total = untouched(oracle.domain.x0)
        blind, cost = blind_rows(confined, (confined.domain.x0, random_start(confined)))
        vectors = oracle.domain.x0.dim() == 2
        for rows, flag in ((~blind, False), (blind, True)):
            index = rows.nonzero().squeeze(1)
            if len(index):
                parts, places = self.parts(vectors, flag), self._places(vectors, flag)
                part = Cascade(tuple(parts[place] for place in places)).run(oracle.rows(index))
                place = torch.tensor(places, device=part.broken_by.device)
                broken_by = torch.where(part.broken_by >= 0, place[part.broken_by], -1)
                total = total.spread(index, replace(part, broken_by=broken_by))
        first = torch.where(total.first >= 0, total.first + cost, total.first)
        return replace(total, forwards=total.forwards + cost, backwards=total.backwards + cost, first=first)

    def _quick(self, oracle: Oracle) -> Result:
        """Each row as much as it is worth; the rows that the triage cannot read get the full cascade."""
        confined, stages = oracle.confined(self.ball), Stages.of(oracle)
        noise, *ascents, _ = self.quick_parts(vectors=oracle.domain.x0.dim() == 2)[:4]
        *square, full = self.quick_parts(vectors=oracle.domain.x0.dim() == 2)[4:]
        unread = torch.full((len(oracle),), oracle.threat.randomised, device=oracle.domain.x0.device)
        if not oracle.threat.randomised:
            unread, _ = blind_rows(confined, (confined.domain.x0, random_start(confined)))
        stages.run(noise, ~unread, 0)
        r, toward = self._triaged(stages, ascents, ~unread)
        near, middle = r <= NEAR, (r > NEAR) & (r <= MIDDLE)
        targeted, short = (APGD(self.ball, -(-self.steps // part), loss=margin) for part in (1, SHORT))
        stages.run(targeted, near, 3, key=1)
        for k, label in enumerate(toward):
            stages.run(targeted, near, 3, key=2 + k, toward=label)
            if k < MIDDLE_CLASSES:
                stages.run(short, middle, 3, key=2 + k, toward=label)
        for attack in square:
            stages.run(attack, r <= NEAREST, 4)
        stages.run(full, unread, 4 + len(square))
        return stages.result(~(near | middle | unread))

    def _triaged(self, stages: Stages, ascents: Sequence[Attack], rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Run the ascents, and read from them how far each of the rows that stand is from being broken.

        Returns:
            r, `(batch,)`, infinite where rows are not read, and the classes to head for, `(batch,)` each, nearest first.
        """
        ratio = torch.full_like(rows, torch.inf, dtype=torch.float32)
        index = (rows & stages.standing).nonzero().squeeze(1)
        if not len(index):
            return ratio, []
        try:
            oracle = stages.referring(index)
            image, logits = stages.highest(ascents, rows)
            index = (rows & stages.standing).nonzero().squeeze(1)
            ratio[index] = remaining(oracle.goal.rows(index), logits[index]).to(ratio.dtype)
            wanted = (ratio <= MIDDLE).nonzero().squeeze(1)
            if not len(wanted):
                return ratio, []
            if oracle.goal.target is not None:
                return ratio, [oracle.goal.target]
            some = oracle.rows(wanted)
            classes = nearest_classes(some, image[wanted], logits[wanted], self.ball.norm, NEAR_CLASSES)
            toward = oracle.goal.y[:, None].expand(-1, classes.shape[1]).index_copy(0, wanted, classes)
            return ratio, list(toward.unbind(1))
        except BudgetSpent:
            return ratio, []


@named_arguments
def standard(ball: Ball) -> Standard:
    """The battery at a budget, with its default effort: `attacks.standard(Linf(8 / 255))`."""
    return Standard(ball)
