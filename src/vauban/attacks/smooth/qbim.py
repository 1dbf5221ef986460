"""The basic iterative method, I-FGSM, with a smoothed gradient. H. Zhang, Deep learning in adversarial context (thesis,
Rennes 2021), chapter 4, (4.8)."""

from __future__ import annotations

from dataclasses import dataclass

from vauban.attacks import registry
from vauban.attacks.fixed_budget.bim import BIM
from vauban.attacks.parts.ball_steps import check_norm
from vauban.attacks.parts.guided import GuidedAscent
from vauban.core.norms import L2, Linf


@registry.register("qbim", norms=("linf", "l2"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class QBIM(GuidedAscent, BIM):
    """qI-FGSM, `BIM` along the gradient smoothed like the image: x_{t+1} = P(x_t + alpha eps n(s_alpha(g_t))).

    n is the sign for L-infinity, which undoes much of the smoothing, the unit vector for L2. The other parameters are
    those of `BIM`.

    Attributes:
        smoothness, tol, limit, rate, shape, channels: As in `GuidedSmoothing`; smoothness=0 is `BIM`.

    Raises:
        ContractError: A value outside its range; a ball in another norm; vectors.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.ball, Linf, L2)
