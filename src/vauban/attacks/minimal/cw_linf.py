"""L-infinity attack of Carlini and Wagner (2017).

Towards evaluating the robustness of neural networks, 2017 (arXiv:1608.04644), section VI-C.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.adam_rounds import CHART, AdamRounds, AdamRoundState
from vauban.core.norms import Linf, Norm
from vauban.core.parameters import Count
from vauban.core.tensors import like
from vauban.core.tolerance import level_slack, tolerance, upper_limit
from vauban.engine import Oracle

SHRINK = 0.9  # of the largest change: the bound tau of the next round


@dataclass(frozen=True)
class CWLinfState(AdamRoundState):
    """State of the L-infinity attack.

    Attributes:
        tau: No component should change by more, in pixel units, `(batch,)`.
    """

    tau: Tensor


@registry.register("cw-linf", norms=("linf",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class CWLinf(AdamRounds[CWLinfState]):
    """Carlini and Wagner, L-infinity: a falling bound tau on every change, what exceeds it is penalised.

    min_z sum_i [|x_i - x0_i| - tau]_+ + c [kappa - margin(x)]_+ with x = (1 + tanh z) / 2, by Adam; tau starts at 1. An
    adversarial image with every change within tau ends a round: tau <- 0.9 min(tau, max_i |x_i - x0_i|), c stays.
    `inner` steps without one double c; a sample is finished once c exceeds `largest`, or tau is below the first pixel
    level. All rounds start from the image where the last one ended, with Adam anew. At most `steps` gradients, one per
    step; the nearest success is kept.

    Departures: each sample begins its next round at once, where the authors' program runs image after image; one total
    of `steps` bounds the cost; on a grid of pixels tau is a whole number of levels, rounded down, since a bound between
    levels stops no rounded image; the objective is divided by c, so that Adam's 1e-8 stays small beside the gradient; z
    starts a quarter of a level inside [0,1].

    Attributes:
        steps: Number of steps of all rounds together, one gradient each.
        inner: Steps without an adversarial image after which c is doubled.
        lr: Rate of Adam in the coordinates z.
        c: First weight of the loss.
        largest: Weight of the loss beyond which a sample is finished.
        kappa: Margin, in logits, that is asked for where it is above 0; an image with less is then no success.

    Raises:
        ContractError: c above `largest`.
    """

    steps: Count = 500

    @property
    def norm(self) -> Norm:
        return Linf

    def begin(self, oracle: Oracle) -> CWLinfState:
        return CWLinfState.begin(oracle.domain.x0, self.c, tau=torch.ones_like(oracle.domain.x0.flatten(1)[:, 0]))

    def image(self, oracle: Oracle, state: CWLinfState) -> Tensor:
        return oracle.domain.project(CHART.image(state.z))

    def unfinished(self, oracle: Oracle, state: CWLinfState) -> Tensor:
        return state.tau > 0

    def kept(self, oracle: Oracle, state: CWLinfState, d: Tensor) -> Tensor:
        return Linf.size(d) <= upper_limit(state.tau, tolerance(d.dtype))

    def tighten(self, oracle: Oracle, state: CWLinfState, d: Tensor, g: Tensor, won: Tensor) -> CWLinfState:
        tau = SHRINK * torch.minimum(state.tau, Linf.size(d))
        if oracle.domain.grid is not None:  # float noise under a level still counts as the level
            levels = oracle.domain.grid.levels
            tau = (tau * (levels - 1) + level_slack(levels, tau.dtype)).floor() / (levels - 1)
        return replace(state, tau=torch.where(won, tau, state.tau))

    def pull(self, state: CWLinfState, d: Tensor) -> Tensor:
        return d.sign() * (d.abs() > like(state.tau, d))
