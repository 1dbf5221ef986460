"""The standard battery: what every evaluation at a budget starts with, and what replaces AutoAttack here."""

from __future__ import annotations

from dataclasses import dataclass

from vauban.attacks import registry
from vauban.attacks.blackbox.square import Square
from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.fixed_budget.apgd_t import APGDT
from vauban.attacks.fixed_budget.random_noise import RandomNoise
from vauban.attacks.minimal.fmn import FMN
from vauban.core.losses import cross_entropy
from vauban.core.norms import L1, L2, Ball, Linf, Norm
from vauban.engine import Ask, Attack, Cascade, Result, Within


@registry.register("standard", norms=("linf", "l2", "l1"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class Standard:
    """A cascade of five different attacks, each on what the ones before left standing; per sample the worst case.

    Random noise (a control that costs two queries), APGD on the cross-entropy, APGD on the targeted DLR toward the
    `n_target` likeliest wrong classes, FMN inside the ball, Square. The same three families as AutoAttack (Croce and Hein,
    arXiv:2003.01690): its FAB is FMN here, and it asks Square for 5000 queries. On a randomised model every attack runs to
    its end and the image is kept that the most draws call adversarial. Square is left out in L1, and in L2 on vectors,
    where it is not defined.
    """

    ball: Ball = Linf(8 / 255)
    steps: int = 100
    n_target: int = 9
    queries: int = 1000

    @property
    def measure(self) -> Norm:
        return self.ball.norm

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        gradients = self.steps * (2 + self.n_target)
        return gradients + self.n_target + self.queries + 7, gradients

    def members(self, vectors: bool = False) -> tuple[Attack, ...]:
        """The attacks in the order in which they run."""
        chosen: list[Attack] = [
            RandomNoise(self.ball, steps=2),
            APGD(self.ball, self.steps, loss=cross_entropy),
            APGDT(self.ball, self.steps, self.n_target),
            Within(FMN(self.steps, self.ball.norm), self.ball),
        ]
        if self.ball.norm is not L1 and not (vectors and self.ball.norm is L2):
            chosen.append(Square(self.ball, self.queries))
        return tuple(chosen)

    def run(self, ask: Ask) -> Result:
        return Cascade(self.members(vectors=ask.x0.dim() == 2)).run(ask)


def standard(ball: Ball) -> Standard:
    """The battery at a budget, with its default effort: `attacks.standard(Linf(8 / 255))`."""
    return Standard(ball)
