"""FGSM with a smoothed gradient. H. Zhang, Deep learning in adversarial context (thesis, Rennes 2021), chapter 4, (4.8)."""

from __future__ import annotations

from dataclasses import dataclass

from vauban.attacks import registry
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.parts.ball_steps import check_norm
from vauban.attacks.parts.guided import GuidedAscent
from vauban.core.norms import L2, Linf


@registry.register("qfgsm", norms=("linf", "l2"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class QFGSM(GuidedAscent, FGSM):
    """`FGSM` along the gradient smoothed like the image: x' = clip(x + eps n(s_alpha(g))), "quick and dirty".

    n is the sign for L-infinity, which undoes much of the smoothing, the unit vector for L2. The other parameters are
    those of `FGSM`.

    Attributes:
        smoothness, tol, limit, rate, shape, channels: As in `GuidedSmoothing`; smoothness=0 is `FGSM`.

    Raises:
        ContractError: A value outside its range; a ball in another norm; vectors.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.ball, Linf, L2)
