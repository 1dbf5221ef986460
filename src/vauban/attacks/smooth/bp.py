"""Smooth boundary projection: the smoothing of H. Zhang, Deep learning in adversarial context (thesis, Rennes 2021),
chapter 4, in the attack of its chapter 5 (arXiv:1912.02153), which the thesis leaves open."""

from __future__ import annotations

from dataclasses import dataclass

from vauban.attacks import registry
from vauban.attacks.minimal.bp import BP
from vauban.attacks.parts.guided import GuidedAscent


@registry.register("smooth-bp", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class SmoothBP(GuidedAscent, BP):
    """`BP` along the gradient smoothed like the image: u = s_alpha(g) / ||s_alpha(g)||_2, and all else as there.

    Without rounding and clipping every perturbation is a sum of smoothed gradients. The hyperplane of the walk is then
    orthogonal to s_alpha(g) and not to the level set. The other parameters are those of `BP`.

    Attributes:
        smoothness, tol, limit, rate, shape, channels: As in `GuidedSmoothing`; smoothness=0 is `BP`.

    Raises:
        ContractError: A value outside its range; vectors.
    """
