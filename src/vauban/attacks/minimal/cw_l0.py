"""L0 attack of Carlini and Wagner (2017).

Towards evaluating the robustness of neural networks, 2017 (arXiv:1608.04644), section VI-B.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.adam_rounds import CHART, AdamRounds, AdamRoundState
from vauban.core.norms import L0, Norm
from vauban.core.parameters import Count, NonNegative, StepRate
from vauban.core.tensors import flat, like
from vauban.engine import Oracle

UNCHANGED = 1 / 510  # half a level of 8 bits: rounds to no change


@dataclass(frozen=True)
class CWL0State(AdamRoundState):
    """State of the L0 attack.

    Attributes:
        free: Where components may still change, bool `(batch, ...)`.
    """

    free: Tensor


@registry.register("cw-l0", norms=("l0",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class CWL0(AdamRounds[CWL0State]):
    """Carlini and Wagner, L0: the L2 attack on ever fewer components, those that contribute least given up in turn.

    min_z ||x - x0||_2^2 + c [kappa - margin(x)]_+ over the free components, x = (1 + tanh z) / 2, by Adam. An
    adversarial image ends a round: with g the gradient of the margin there and d = x - x0, the components that changed
    by less than half a level go back to x0 for good, and of the n others the max(1, floor(freeze sqrt(n))) of smallest
    |g_i d_i|. `inner` steps without an adversarial image double c; a sample is finished once c exceeds `largest` or
    nothing is free. All rounds start from the image where the last one ended, with Adam anew. At most `steps`
    gradients, one per step; the nearest success is kept. freeze=0 gives up one component per round as the paper says:
    on MNIST as good as 0.5, for three times the gradients (2600 against 800). Components are counted, not pixels of 3
    channels.

    Departures: `freeze` (the authors' program: 0.3) and |g_i d_i| for g_i d_i, as their program has it; a round ends at
    its first adversarial image, as there, and each sample begins its next one at once; one total of `steps` bounds the
    cost; the objective is divided by c; z starts a quarter of a level inside [0,1].

    Attributes:
        steps: Number of steps of all rounds together, one gradient each.
        inner: Steps without an adversarial image after which c is doubled.
        lr: Rate of Adam in the coordinates z.
        c: First weight of the loss.
        largest: Weight of the loss beyond which a sample is finished.
        kappa: Margin, in logits, that is asked for where it is above 0; an image with less is then no success.
        freeze: Share of sqrt(n) components that a round gives up, of n that still change.

    Raises:
        ContractError: c above `largest`.
    """

    inner: Count = 20
    lr: StepRate = 0.3
    freeze: NonNegative = 0.5

    @property
    def norm(self) -> Norm:
        return L0

    def begin(self, oracle: Oracle) -> CWL0State:
        free = torch.ones_like(oracle.domain.x0, dtype=torch.bool) if oracle.domain.mask is None else oracle.domain.mask
        return CWL0State.begin(oracle.domain.x0, self.c, free=free)

    def image(self, oracle: Oracle, state: CWL0State) -> Tensor:
        return oracle.domain.project(torch.where(state.free, CHART.image(state.z), oracle.domain.x0))

    def unfinished(self, oracle: Oracle, state: CWL0State) -> Tensor:
        return flat(state.free).any(1)

    def kept(self, oracle: Oracle, state: CWL0State, d: Tensor) -> Tensor:
        return torch.ones_like(state.k, dtype=torch.bool)  # a frozen component cannot move

    def tighten(self, oracle: Oracle, state: CWL0State, d: Tensor, g: Tensor, won: Tensor) -> CWL0State:
        changed = state.free & (d.abs() >= UNCHANGED)
        count = flat(changed).sum(1)
        most = (self.freeze * count.sqrt()).floor().clamp_min(1)
        gain = flat((g * d).abs().where(changed, torch.inf))
        place = torch.arange(gain.shape[1], device=d.device).expand_as(gain)
        rank = torch.empty_like(place).scatter_(1, gain.argsort(dim=1, stable=True), place)
        left = changed & (rank >= most[:, None]).view_as(changed)
        return replace(state, free=torch.where(like(won, d), left, state.free))

    def pull(self, state: CWL0State, d: Tensor) -> Tensor:
        return 2 * d
