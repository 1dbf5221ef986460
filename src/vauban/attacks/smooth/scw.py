"""The smooth attack of Carlini and Wagner, sC&W. H. Zhang, Avrithis, Furon, Amsaleg, Smooth adversarial examples, 2020
(arXiv:1903.11862); H. Zhang, Deep learning in adversarial context (thesis, Rennes 2021), chapter 4, (4.9)-(4.15)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.fixed_budget.optimisers import Adam, Moments
from vauban.attacks.smooth.guide import Guide
from vauban.attacks.smooth.hinge import Hinged, free, slope
from vauban.core.smooth import Smooth
from vauban.engine import Ask, Steps
from vauban.engine.iterate import Keep, Stop


@dataclass(frozen=True)
class Latent:
    """The latent z, its perturbation r = s(z), the last slope in z, Adam's moments, the weight c `(batch,)` of the loss."""

    z: Tensor
    r: Tensor
    pulled: Tensor | None
    moments: Moments
    c: Tensor
    chart: Smooth


@dataclass(frozen=True, eq=False)
class SmoothPenalised(Steps[Latent]):
    """Adam in z on ||s(z)||_2^2 + c [kappa - margin(clip(x0 + s(z)))]_+ at one constant c per sample, in a chart of the
    batch that all constants share: it is factorised once."""

    steps: int
    lr: float
    kappa: float
    chart: Smooth
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"
    knobs: ClassVar[tuple[str, ...]] = ("c",)

    def start(self, ask: Ask, **knobs: Tensor) -> Latent:
        z = torch.zeros_like(ask.x0)
        return Latent(z, z, None, Adam(self.lr).begin(z), knobs["c"], self.chart)

    def step(self, ask: Ask, state: Latent, t: int) -> Latent:
        smoothing = state.chart.smoothing
        pulled = smoothing.pull(slope(ask, free(ask, state.r), state.c, self.kappa), state.pulled)
        z, moments = Adam(self.lr).climb(state.z, pulled.value, state.moments, t)
        r = state.chart.value(z, state.r)
        ask.note_unsolved(~pulled.converged)
        ask.note_unsolved(~r.converged)
        return Latent(z, r.value, pulled.value, moments, state.c, state.chart)

    def candidate(self, ask: Ask, state: Latent) -> Tensor:
        return ask.project(state.chart.place(state.r))


@registry.register("scw", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class SCW(Guide, Hinged):
    """sC&W: the attack of Carlini and Wagner over perturbations that are smooth like the image.

    min_z ||s(z)||_2^2 + c [kappa - margin(clip(x0 + s(z)))]_+, (4.14), from z = 0 by `steps` steps of Adam at rate `lr`;
    c = 1 / lambda is searched per sample from `c`, times 10 while nothing succeeds and then by bisection, `search_steps`
    values. The gradient is the transposed smoothing of the one with respect to the image, (4.15): two solves and one
    gradient per step; a solve that iterates goes on from the last. The nearest success of all is kept. kappa > 0 asks for
    that margin, and an image with less is not a success. s is invertible, so (4.14) has the minimum of (4.9), the plain
    attack's: the smoothness lies in the way there, and the nearer the `steps` come to it the less is left. smoothness,
    tol, limit, rate, shape, channels: as in `Guide`. Raises ContractError on them. The source has c=15, kappa=1,
    smoothness=0.95 on MNIST, c=100, kappa=0 on ImageNet, lr=0.1 on both; it prints neither rates nor numbers of
    iterations. Departures: images are rounded at the door; the clip passes the gradient at 0 and 1 themselves, so that
    black and white pixels can move; Adam restarts at z = 0 for each c.
    """

    def inner(self, ask: Ask) -> SmoothPenalised:
        return SmoothPenalised(self.steps, self.lr, self.kappa, self.chart(ask.x0))
