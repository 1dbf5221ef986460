"""Carlini and Wagner's attack with a pairwise smoothness penalty. H. Zhang, Deep learning in adversarial context (thesis,
Rennes 2021), chapter 4, (4.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.guided import ImageGraph
from vauban.attacks.parts.hinge import HingePenalty, free, slope
from vauban.attacks.parts.optimisers import Adam, AdamMoments
from vauban.core.errors import ContractError
from vauban.core.parameters import Count, NonNegative, StepRate
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep
from vauban.laplacian.smoothing import Kernel
from vauban.laplacian.stencil import Stencil


@dataclass(frozen=True)
class PairwiseCWState:
    """State of the attack at one constant.

    Attributes:
        r: Perturbation, `(batch, channel, height, width)`.
        moments: Adam's.
        c: Weight of the loss, `(batch,)`.
        graph: Weights between pixels.
    """

    r: Tensor
    moments: AdamMoments
    c: Tensor
    graph: Stencil


@dataclass(frozen=True)
class PairwiseCWSteps(Steps[PairwiseCWState]):
    """Adam in r on ||r||_2^2 + mu P(r) + c [kappa - margin(clip(x0 + r))]_+ at one constant c per sample."""

    steps: Count
    lr: StepRate
    kappa: NonNegative
    mu: NonNegative
    kernel: Kernel
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"
    per_sample: ClassVar[tuple[str, ...]] = ("c",)

    def start(self, oracle: Oracle, **per_sample: Tensor) -> PairwiseCWState:
        if oracle.domain.x0.dim() != 4:
            raise ContractError(f"expected images (batch, channel, height, width), got {tuple(oracle.domain.x0.shape)}")
        r = torch.zeros_like(oracle.domain.x0)
        return PairwiseCWState(r, Adam(self.lr).begin(r), per_sample["c"], self.kernel.weights(oracle.domain.x0))

    def step(self, oracle: Oracle, state: PairwiseCWState, t: int) -> PairwiseCWState:
        r = free(oracle, state.r)
        uphill = slope(oracle, r, state.c, self.kappa).sub_(state.graph.product(r), alpha=4 * self.mu)
        r, moments = Adam(self.lr).climb(state.r, uphill, state.moments, t)
        return PairwiseCWState(r, moments, state.c, state.graph)

    def candidate(self, oracle: Oracle, state: PairwiseCWState) -> Tensor:
        return oracle.domain.project(oracle.domain.x0 + state.r)


@registry.register("pairwise-cw", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class PairwiseCW(ImageGraph, HingePenalty):
    """The attack of Carlini and Wagner with a price on differences between like neighbours.

    min_r ||r||_2^2 + mu P(r) + c [kappa - margin(clip(x0 + r))]_+ with P(r) = sum over ordered pairs of
    w_ij ||r_i / sqrt(d_i) - r_j / sqrt(d_j)||^2 = 2 tr r^T (I - D^-1/2 W D^-1/2) r, (4.9) and (4.10), from r = 0 by `steps`
    steps of Adam at rate `lr`; c is searched per sample from `c`, times 10 while nothing succeeds and then by bisection,
    `search_steps` values. One gradient per step; the nearest success of all is kept.

    Attributes:
        mu: Price of differences between neighbours, in units of lambda = 1 / c.
        rate, shape, channels: As in `ImageGraph`.
        search_steps, steps, lr, c: As above.
        kappa: Margin asked for; an image with less is not a success.

    Raises:
        ContractError: A value outside its range; vectors.

    Departures: mu counts in units of lambda, so that smoothness and distance keep their proportion while c = 1 / lambda is
    searched, and is ours (the source discards this attack and gives none); a pixel unlike all its neighbours pays
    2 mu r_i^2, since the sum is taken in the form of (4.3); images are rounded by the oracle; the clip passes the gradient
    at 0 and 1 themselves; Adam restarts at r = 0 for each c.
    """

    mu: NonNegative = 10.0

    def inner(self, oracle: Oracle) -> PairwiseCWSteps:
        return PairwiseCWSteps(self.steps, self.lr, self.kappa, self.mu, self.kernel)
