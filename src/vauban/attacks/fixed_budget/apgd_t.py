"""Targeted Auto-PGD over several classes (Croce and Hein 2020).

Croce and Hein, Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks, 2020
(arXiv:2003.01690), section 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.parts.ball_steps import heading
from vauban.attacks.parts.class_boundaries import nearest_classes
from vauban.core.errors import BudgetSpent
from vauban.core.losses import Loss, dlr, margin
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Count
from vauban.engine import Attack, Oracle, Result
from vauban.engine.combine import sequence
from vauban.engine.result import untouched


@registry.register("apgd-t", norms=("linf", "l2", "l1"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class APGDT(Attack):
    """APGD toward each of the likeliest wrong classes in turn, on the samples that still stand.

    The classes are ordered by the logits of the clean image, for which one query is counted, or by `order="linearised"`:
    the distance of their boundaries linearised there (MALT, Melamed et al., arXiv:2407.02240), which costs a backward pass
    for each of the `among` likeliest. The loss of each run is the targeted one; success stays the goal's: for an untargeted
    goal any misclassification. A targeted goal leaves one class, one run and no query.

    Attributes:
        ball: The budget: L-infinity, L2 or L1, radius in pixel units (pixels in [0,1]).
        steps: Number of steps toward each class, one gradient each.
        n_target: Number of classes that are tried.
        loss: What is raised toward each class; None: DLR, and with two classes, where DLR has no gradient, the margin.
        random_start: Whether each run begins at a random point of the ball instead of the image.
        order: Which classes come first: "logits" or "linearised".
        among: Classes that "linearised" looks at, with a backward pass for each.

    Raises:
        ContractError: A ball of another norm.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 100
    n_target: Count = 9
    loss: Loss | None = None
    random_start: bool = True
    order: Literal["logits", "linearised"] = "logits"
    among: Count = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        self._apgd(3)  # checks the norm

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        forwards, backwards = self.n_target * (self.steps + 1) + 1, self.n_target * self.steps
        linearised = self.order == "linearised"
        return forwards + linearised, backwards + linearised * min(self.among, 10)

    def _apgd(self, classes: int) -> APGD:
        return APGD(self.ball, self.steps, self.loss or (dlr if classes > 2 else margin), self.random_start)

    def run(self, oracle: Oracle) -> Result:
        apgd = self._apgd(oracle.classes - oracle.goal.rejects)
        if oracle.goal.target is not None:
            return apgd.run(oracle)
        forwards, backwards = oracle.forwards.clone(), oracle.backwards.clone()
        try:
            logits = oracle.clean_logits()
            wrong: Tensor = oracle.goal.wrong_classes(logits).flip(1)
            if self.order == "linearised":
                wrong = nearest_classes(oracle, oracle.domain.x0, logits, self.ball.norm, self.n_target, self.among)
        except BudgetSpent:
            return untouched(oracle.domain.x0)
        asked = oracle.backwards - backwards
        toward = wrong[:, : self.n_target].unbind(1)
        oracles = [heading(oracle.fresh(i) if i else oracle, label) for i, label in enumerate(toward)]
        total = sequence([(apgd, own) for own in oracles], oracle, "success")
        first = torch.where(total.first >= 0, total.first + asked, total.first)
        return replace(total, forwards=oracle.forwards - forwards, backwards=oracle.backwards - backwards, first=first)
