"""Carlini and Wagner's attack with a pairwise smoothness penalty. H. Zhang, Deep learning in adversarial context (thesis,
Rennes 2021), chapter 4, (4.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.fixed_budget.optimisers import Adam, Moments
from vauban.attacks.smooth.guide import Graph
from vauban.attacks.smooth.hinge import Hinged, free, slope
from vauban.core.errors import ContractError
from vauban.core.smoothing import Kernel
from vauban.core.stencil import Stencil
from vauban.engine import Ask, Steps
from vauban.engine.iterate import Keep, Stop


@dataclass(frozen=True)
class Pulled:
    """The perturbation r, Adam's moments, the weight c `(batch,)` of the loss, and the weights between
    pixels."""

    r: Tensor
    moments: Moments
    c: Tensor
    graph: Stencil


@dataclass(frozen=True)
class Penalised(Steps[Pulled]):
    """Adam in r on ||r||_2^2 + mu P(r) + c [kappa - margin(clip(x0 + r))]_+ at one constant c per sample."""

    steps: int
    lr: float
    kappa: float
    mu: float
    kernel: Kernel
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"
    knobs: ClassVar[tuple[str, ...]] = ("c",)

    def start(self, ask: Ask, **knobs: Tensor) -> Pulled:
        if ask.x0.dim() != 4:
            raise ContractError(f"expected images (batch, channel, height, width), got {tuple(ask.x0.shape)}")
        r = torch.zeros_like(ask.x0)
        return Pulled(r, Adam(self.lr).begin(r), knobs["c"], self.kernel.weights(ask.x0))

    def step(self, ask: Ask, state: Pulled, t: int) -> Pulled:
        r = free(ask, state.r)
        uphill = slope(ask, r, state.c, self.kappa).sub_(state.graph.product(r), alpha=4 * self.mu)
        r, moments = Adam(self.lr).climb(state.r, uphill, state.moments, t)
        return Pulled(r, moments, state.c, state.graph)

    def candidate(self, ask: Ask, state: Pulled) -> Tensor:
        return ask.project(ask.x0 + state.r)


@registry.register("pairwise-cw", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class PairwiseCW(Graph, Hinged):
    """The attack of Carlini and Wagner with a price on differences between like neighbours.

    min_r ||r||_2^2 + mu P(r) + c [kappa - margin(clip(x0 + r))]_+ with P(r) = sum over ordered pairs of
    w_ij ||r_i / sqrt(d_i) - r_j / sqrt(d_j)||^2 = 2 tr r^T (I - D^-1/2 W D^-1/2) r, (4.9) and (4.10), from r = 0 by `steps`
    steps of Adam at rate `lr`; c is searched per sample from `c`, times 10 while nothing succeeds and then by bisection,
    `search_steps` values. One gradient per step; the nearest success of all is kept. kappa > 0 asks for that margin, and
    an image with less is not a success. rate, shape, channels: as in `Graph`. Raises ContractError on them, on mu < 0 and
    on vectors. Departures: mu counts in units of lambda, so that smoothness and distance keep their proportion while c =
    1 / lambda is searched, and is ours (the source discards this attack and gives none); a pixel unlike all its
    neighbours pays 2 mu r_i^2, since the sum is taken in the form of (4.3); images are rounded at the door; the clip passes
    the gradient at 0 and 1 themselves; Adam restarts at r = 0 for each c.
    """

    mu: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.mu >= 0:
            raise ContractError(f"expected mu >= 0, got {self.mu}")

    def inner(self, ask: Ask) -> Penalised:
        return Penalised(self.steps, self.lr, self.kappa, self.mu, self.kernel)
