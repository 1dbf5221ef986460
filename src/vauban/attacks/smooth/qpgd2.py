"""PGD in L2 with a smoothed gradient. H. Zhang, Deep learning in adversarial context (thesis, Rennes 2021), chapter 4,
(4.6)-(4.8), on PGD2, (2.15)-(2.16)."""

from __future__ import annotations

from dataclasses import dataclass

from vauban.attacks import registry
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.parts.ball_steps import check_norm
from vauban.attacks.parts.guided import GuidedAscent
from vauban.core.norms import L2, Ball


@registry.register("qpgd2", norms=("l2",), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class QPGD2(GuidedAscent, PGD):
    """`PGD` in L2 along the gradient smoothed like the image: x_{t+1} = P(x_t + alpha eps n(s_alpha(g_t))).

    n(v) = v / ||v||_2, P the projection on the ball and [0,1]. Smoothness is loosely integrated ("quick and dirty"):
    s(g) may correlate weakly with g, and clipping is not smooth. The other parameters are those of `PGD`.

    Attributes:
        ball: The budget, in L2; the source has eps = 5.
        rel_stepsize: alpha, the length of a step as a share of the radius eps; None: 0.6, the
            source's step of 3.
        abs_stepsize: The length of a step in pixel units, in the place of rel_stepsize.
        random_start: Start in noise, which is not smooth.
        smoothness, tol, limit, rate, shape, channels: As in `GuidedSmoothing`; smoothness=0 is `PGD`.

    Raises:
        ContractError: A value outside its range; a ball in another norm; vectors.
    """

    ball: Ball = L2(5)
    random_start: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.ball, L2)

    @property
    def usual_stepsize(self) -> float:
        return 0.6
