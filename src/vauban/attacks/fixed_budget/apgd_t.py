"""Targeted Auto-PGD over several classes. Croce and Hein, Reliable evaluation of adversarial robustness with an ensemble of
diverse parameter-free attacks, 2020 (arXiv:2003.01690), section 4."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.parts.ball_steps import heading
from vauban.core.errors import BudgetSpent, ContractError
from vauban.core.losses import Loss, dlr, margin
from vauban.core.norms import Ball, Linf
from vauban.engine import Attack, Oracle, Result
from vauban.engine.combine import sequence
from vauban.engine.result import untouched


@registry.register("apgd-t", norms=("linf", "l2", "l1"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class APGDT(Attack):
    """APGD toward each of the `n_target` likeliest wrong classes in turn, on the samples that still stand.

    The classes are ordered by the logits of the clean image, for which one query is counted. The loss of each run is the
    targeted one (None: DLR, and the margin with two classes, where DLR has no gradient); success stays the goal's: for an
    untargeted goal any misclassification. A targeted goal leaves one class, one run and no query. Raises ContractError
    where n_target < 1.
    """

    ball: Ball = Linf(8 / 255)
    steps: int = 100
    n_target: int = 9
    loss: Loss | None = None
    random_start: bool = True

    def __post_init__(self) -> None:
        if self.n_target < 1:
            raise ContractError(f"expected n_target >= 1, got {self.n_target}")
        self._apgd(3)

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.n_target * (self.steps + 1) + 1, self.n_target * self.steps

    def _apgd(self, classes: int) -> APGD:
        return APGD(self.ball, self.steps, self.loss or (dlr if classes > 2 else margin), self.random_start)

    def run(self, oracle: Oracle) -> Result:
        apgd = self._apgd(oracle.classes)
        if oracle.goal.target is not None:
            return apgd.run(oracle)
        try:
            wrong: Tensor = oracle.goal.wrong_classes(oracle.clean_logits()).flip(1)
        except BudgetSpent:
            return untouched(oracle.domain.x0)
        toward = wrong[:, : self.n_target].unbind(1)
        views = [heading(oracle.fresh(i) if i else oracle, label) for i, label in enumerate(toward)]
        total = sequence([(apgd, view) for view in views], oracle, "success")
        return replace(total, forwards=total.forwards + 1)
