"""FAB toward several classes inside a ball (Croce and Hein 2020).

Croce and Hein, Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks, 2020
(arXiv:2003.01690), section 5; the attack itself arXiv:1907.02044.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vauban.attacks import registry
from vauban.attacks.minimal.fab import FAB
from vauban.core.errors import BudgetSpent
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Count
from vauban.core.tensors import where
from vauban.engine import Attack, Oracle, Result, StopInside
from vauban.engine.combine import sequence
from vauban.engine.result import untouched


@registry.register("fab-t", norms=("linf", "l2", "l1"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class FABT(Attack):
    """FAB toward each of the likeliest wrong classes in turn, on the samples that still stand, stopped inside a ball.

    The classes are ordered by the logits of the clean image, for which one query is counted. The ball does not bound the
    way: a run looks for the nearest image and ends at its first success inside. Success is any misclassification; a
    targeted goal leaves one class, one run and no query. The nearest image toward several classes is `fab` with `n_target`.

    Departures: a success outside the ball is none, and what is handed over is its projection on the ball; the authors'
    program runs to the end and then looks whether its nearest image is inside, which breaks the same samples.

    Attributes:
        ball: The budget: L-infinity, L2 or L1, radius in pixel units (pixels in [0,1]).
        steps: Number of steps toward each class, one gradient and two forwards each.
        n_target: Number of classes that are tried.

    Raises:
        ContractError: A ball of another norm.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 100
    n_target: Count = 9

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fab()  # checks the norm

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.n_target * (2 * self.steps + 1) + 1, self.n_target * self.steps

    def _fab(self) -> FAB:
        return FAB(self.steps, self.ball.norm, n_target=self.n_target)

    def run(self, oracle: Oracle) -> Result:
        fab = self._fab()
        try:
            oracles = fab.headed(oracle)
        except BudgetSpent:
            return untouched(oracle.domain.x0)
        total = sequence([(StopInside(fab, self.ball), own) for own in oracles], oracle, "success")
        domain = oracle.confined(self.ball).domain
        inside = domain.quantise(domain.project(total.crafted))
        asked = int(oracle.goal.target is None)
        crafted = where(total.success, total.crafted, inside)
        return replace(total, crafted=crafted, forwards=total.forwards + asked)
