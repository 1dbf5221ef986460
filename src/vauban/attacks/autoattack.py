"""AutoAttack's battery, by the original's members, order and counts (Croce and Hein 2020).

Croce and Hein, Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks, 2020
(arXiv:2003.01690), section 5, in the version `standard` of the authors' program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vauban.attacks import registry
from vauban.attacks.blackbox.square import Square
from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.fixed_budget.apgd_t import APGDT
from vauban.attacks.fixed_budget.fab_t import FABT
from vauban.attacks.parts.ball_steps import check_norm
from vauban.core.losses import cross_entropy
from vauban.core.norms import L2, Ball, Linf
from vauban.core.parameters import Count
from vauban.engine import Attack, Cascade, Oracle, Result
from vauban.engine.attack import total_passes


@registry.register("autoattack", norms=("linf", "l2"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class AutoAttack(Attack):
    """APGD on the cross-entropy, APGD-T, FAB-T and Square in this order, each on what the ones before left standing.

    The battery whose robust accuracies leaderboards list, so that a number can stand beside theirs. Images are not rounded
    to pixel levels, as there, and the verdict is on the unrounded image; `rounded` makes it an attack on images that can be
    saved. `standard` is this project's own battery, at a third of the passes. `broken_by` says which of the four broke an
    image, the first in their order.

    Departures: those of its members, see each of them; random numbers are keyed by sample and not by batch; with two
    classes APGD-T follows the margin, where the original stops; targeted goals; Square is left out in L2 on vectors. L1,
    where the original restarts APGD with larger radii and has a Square of its own, is refused.

    Attributes:
        ball: The budget, in linf or l2.
        steps: Gradients of each run of a gradient attack.
        n_target: Wrong classes that APGD-T and FAB-T are run toward.
        queries: Of Square.
        rounded: Whether images are rounded to the pixel levels of the threat.

    Raises:
        ContractError: A ball of another norm.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 100
    n_target: Count = 9
    queries: Count = 5000
    rounded: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.ball, Linf, L2)

    @property
    def passes(self) -> tuple[int, int] | None:
        """Forward and backward passes of a sample that nothing breaks."""
        return total_passes(self.members)

    @property
    def members(self) -> tuple[Attack, ...]:
        """The attacks that it runs on images."""
        return (
            APGD(self.ball, self.steps, loss=cross_entropy),
            APGDT(self.ball, self.steps, self.n_target),
            FABT(self.ball, self.steps, self.n_target),
            Square(self.ball, self.queries, rescaled=False),
        )

    def stages_on(self, shape: Sequence[int]) -> tuple[Attack, ...]:
        """The attacks in their order, as `Result.broken_by` counts them."""
        return self.members[:-1] if len(shape) == 1 and self.ball.norm is L2 else self.members

    def run(self, oracle: Oracle) -> Result:
        attacked = oracle if self.rounded else oracle.unrounded()
        return Cascade(self.stages_on(oracle.domain.x0.shape[1:])).run(attacked)
