"""Smooth attack of Carlini and Wagner, sC&W. H. Zhang, Avrithis, Furon, Amsaleg, Smooth adversarial examples, 2020
(arXiv:1903.11862); H. Zhang, Deep learning in adversarial context (thesis, Rennes 2021), chapter 4, (4.9)-(4.15)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.guided import GuidedSmoothing
from vauban.attacks.parts.hinge import HingePenalty, free, slope
from vauban.attacks.parts.optimisers import Adam, AdamMoments
from vauban.core.parameters import Count, NonNegative, StepRate
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep
from vauban.laplacian.coordinates import SmoothCoordinates


@dataclass(frozen=True)
class SCWState:
    """State of the attack at one constant.

    Attributes:
        z: Latent coordinates, `(batch, channel, height, width)`.
        r: The perturbation s(z).
        pulled: The last slope in z, from which the next solve goes on.
        moments: Adam's.
        c: Weight of the loss, `(batch,)`.
        chart: The smoothing of the batch as coordinates.
    """

    z: Tensor
    r: Tensor
    pulled: Tensor | None
    moments: AdamMoments
    c: Tensor
    chart: SmoothCoordinates


@dataclass(frozen=True, eq=False)
class SCWSteps(Steps[SCWState]):
    """Adam in z on ||s(z)||_2^2 + c [kappa - margin(clip(x0 + s(z)))]_+ at one constant c per sample.

    All constants share the coordinates `chart` of the batch: its graph is factorised once.
    """

    steps: Count
    lr: StepRate
    kappa: NonNegative
    chart: SmoothCoordinates
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"
    per_sample: ClassVar[tuple[str, ...]] = ("c",)

    def start(self, oracle: Oracle, **per_sample: Tensor) -> SCWState:
        z = torch.zeros_like(oracle.domain.x0)
        return SCWState(z, z, None, Adam(self.lr).begin(z), per_sample["c"], self.chart)

    def step(self, oracle: Oracle, state: SCWState, t: int) -> SCWState:
        smoothing = state.chart.smoothing
        pulled = smoothing.pull(slope(oracle, free(oracle, state.r), state.c, self.kappa), state.pulled)
        z, moments = Adam(self.lr).climb(state.z, pulled.value, state.moments, t)
        r = state.chart.value(z, state.r)
        oracle.note_unsolved(~pulled.converged)
        oracle.note_unsolved(~r.converged)
        return SCWState(z, r.value, pulled.value, moments, state.c, state.chart)

    def candidate(self, oracle: Oracle, state: SCWState) -> Tensor:
        return oracle.domain.project(state.chart.place(state.r))


@registry.register("scw", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class SCW(GuidedSmoothing, HingePenalty):
    """sC&W: the attack of Carlini and Wagner over perturbations that are smooth like the image.

    min_z ||s(z)||_2^2 + c [kappa - margin(clip(x0 + s(z)))]_+, (4.14), from z = 0 by `steps` steps of Adam at rate `lr`;
    c = 1 / lambda is searched per sample from `c`, times 10 while nothing succeeds and then by bisection, `search_steps`
    values. The gradient is the transposed smoothing of the one with respect to the image, (4.15): two solves and one
    gradient per step; a solve that iterates goes on from the last. The nearest success of all is kept. s is invertible, so
    (4.14) has the minimum of (4.9), the plain attack's: the smoothness lies in the way there, and the nearer the `steps`
    come to it the less is left. The source has c=15, kappa=1, smoothness=0.95 on MNIST, c=100, kappa=0 on ImageNet, lr=0.1
    on both; it prints neither rates nor numbers of iterations.

    Attributes:
        smoothness, tol, limit, rate, shape, channels: As in `GuidedSmoothing`.
        search_steps, steps, lr, c: As above.
        kappa: Margin asked for; an image with less is not a success.

    Raises:
        ContractError: A value outside its range; vectors.

    Departures: images are rounded by the oracle; the clip passes the gradient at 0 and 1 themselves, so that black and
    white pixels can move; Adam restarts at z = 0 for each c.
    """

    def inner(self, oracle: Oracle) -> SCWSteps:
        return SCWSteps(self.steps, self.lr, self.kappa, self.chart(oracle.domain.x0))
