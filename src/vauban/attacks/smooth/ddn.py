"""Smooth decoupled direction and norm: the smoothing of H. Zhang, Deep learning in adversarial context (thesis, Rennes
2021), chapter 4, in the attack of Rony et al. (arXiv:1811.09600)."""

from __future__ import annotations

from dataclasses import dataclass

from vauban.attacks import registry
from vauban.attacks.minimal.ddn import DDN
from vauban.attacks.parts.guided import GuidedAscent


@registry.register("smooth-ddn", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class SmoothDDN(GuidedAscent, DDN):
    """`DDN` along the gradient smoothed like the image: d <- x - x0 + alpha_t n(s_alpha(g)), and all else as there.

    n(v) = v / ||v||_2. Without rounding and clipping every perturbation is a sum of smoothed gradients. The other
    parameters are those of `DDN`.

    Attributes:
        smoothness, tol, limit, rate, shape, channels: As in `GuidedSmoothing`; smoothness=0 is `DDN`.

    Raises:
        ContractError: A value outside its range; vectors.
    """
