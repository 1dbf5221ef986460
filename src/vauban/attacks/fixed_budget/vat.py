"""Virtual adversarial perturbation, VAT (Miyato et al. 2018).

Miyato, Maeda, Koyama, Ishii, Virtual adversarial training, 2018 (arXiv:1704.03976), (9) to (14); used as an attack in
section 4.5 of Zantedeschi et al., Efficient defenses against adversarial attacks, 2017 (arXiv:1707.06728).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ball_steps import check_norm
from vauban.core.errors import ContractError
from vauban.core.losses import divergence
from vauban.core.norms import L2, Ball
from vauban.core.parameters import Count, Positive
from vauban.core.tensors import unit, where
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep


@dataclass(frozen=True)
class VATState:
    """State of the power iteration.

    Attributes:
        d: Direction of unit length, `(batch, ...)`.
        reference: Logits of the clean images, `(batch, classes)`.
    """

    d: Tensor
    reference: Tensor


@registry.register("vat", norms=("l2",), needs="gradients", targeted=False, randomised=True)
@dataclass(frozen=True)
class VAT(Steps[VATState]):
    """The direction in which an answer changes most, by power iteration; labels play no part.

    d <- g / ||g||_2, g = grad_r KL(p(x) || p(x + r)) at r = xi d, from a random direction; x' = clip(x + eps d). The answer
    p(x) is `ResolvedGoal.reference` where there is one, else one query. The points x + r are not rounded to pixel levels,
    which are coarser than xi, and count for nothing but their gradients.

    Departures: the oracle clips x + r to [0,1], so that at a black pixel only half of the direction is tried.

    Attributes:
        ball: The budget: L2, radius in pixel units (pixels in [0,1]).
        xi: Length of the finite difference; 1e-6, as printed in places, is noise in float32.
        steps: Power iterations, one gradient each.

    Raises:
        ContractError: A ball of another norm; when run, a goal with a target.
    """

    ball: Ball = L2(2.1)
    xi: Positive = 1e-2
    steps: Count = 1
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.ball, L2)

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample: the clean answer, the gradients, the closing check."""
        return self.steps + 2, self.steps

    def start(self, oracle: Oracle, **per_sample: Tensor) -> VATState:
        if oracle.goal.target is not None:
            raise ContractError("vat moves an answer away from what it is and takes no target; use goal='untargeted'")
        x0, mask = oracle.domain.x0, oracle.domain.mask
        noise = oracle.rng.normal("start", tuple(x0.shape[1:]), dtype=x0.dtype)
        given = oracle.goal.reference
        return VATState(
            unit(noise if mask is None else noise * mask), oracle.clean_logits() if given is None else given
        )

    def step(self, oracle: Oracle, state: VATState, t: int) -> VATState:
        probe = oracle.unrecorded().with_goal(replace(oracle.goal, reference=state.reference))
        _, (g,) = probe.gradient(oracle.domain.x0 + self.xi * state.d, divergence)
        steepest = unit(g)
        return replace(state, d=where(steepest.flatten(1).any(1), steepest, state.d))

    def candidate(self, oracle: Oracle, state: VATState) -> Tensor:
        assert oracle.domain.ball is not None
        return oracle.domain.project(oracle.domain.x0 + oracle.domain.ball.scale(state.d) * state.d)
