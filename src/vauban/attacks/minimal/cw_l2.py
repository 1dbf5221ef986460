"""Carlini and Wagner's L2 attack. Towards evaluating the robustness of neural networks, 2017 (arXiv:1608.04644), sections
V and VI-A; (2.18)-(2.19) of the thesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.optimisers import Adam, AdamMoments
from vauban.attacks.parts.penalty_search import PenaltySearch
from vauban.core.coordinates import IntervalCoordinates
from vauban.core.errors import ContractError
from vauban.core.losses import margin
from vauban.core.norms import Linf
from vauban.core.tensors import like
from vauban.engine import Oracle, Result, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

CHART = IntervalCoordinates(0.0, 1.0, start_at="image")


@dataclass(frozen=True)
class CWState:
    """Coordinates z in a chart, Adam's two moments, and the weight c `(batch,)` of the loss."""

    z: Tensor
    moments: AdamMoments
    c: Tensor
    chart: IntervalCoordinates


@dataclass(frozen=True)
class CWSteps(Steps[CWState]):
    """Adam on ||x - x0||_2^2 + c [kappa - margin(x)]_+ in the coordinates z, at one constant c per sample.

    boxed: the chart is the interval of the ball in which the attack moves instead of [0,1].
    """

    steps: int
    lr: float
    kappa: float
    boxed: bool = False
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"
    per_sample: ClassVar[tuple[str, ...]] = ("c",)

    def start(self, oracle: Oracle, **per_sample: Tensor) -> CWState:
        chart = CHART
        if self.boxed:
            assert oracle.domain.ball is not None
            chart = IntervalCoordinates.around(
                oracle.domain.x0, oracle.domain.ball.scale(oracle.domain.x0), mask=oracle.domain.mask, start_at="image"
            )
        z = chart.start(oracle.domain.x0)
        return CWState(z, Adam(self.lr).begin(z), per_sample["c"], chart)

    def step(self, oracle: Oracle, state: CWState, t: int) -> CWState:
        u = state.chart.value(state.z)
        x = oracle.domain.project(state.chart.place(u))
        _, (g,) = oracle.gradient(x, margin)
        push = state.c * (oracle.loss <= self.kappa)
        half = torch.addcmul(
            oracle.domain.x0 - x, like(push, g), g, value=0.5
        )  # of the slope in x; Adam's step is the same
        z, moments = Adam(self.lr).climb(state.z, state.chart.pull(state.z, half, u), state.moments, t)
        return CWState(z, moments, state.c, state.chart)

    def candidate(self, oracle: Oracle, state: CWState) -> Tensor:
        return oracle.domain.project(state.chart.image(state.z))


@registry.register("cw-l2", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class CW(PenaltySearch):
    """Carlini and Wagner, L2: the distance plus c times a hinge on the logits, minimised in a box by construction.

    min_z ||x - x0||_2^2 + c [z_y - max_{k != y} z_k + kappa]_+ with x = (1 + tanh z) / 2, by `steps` steps of Adam at rate
    `lr`; c is searched per sample from `c`, times 10 while nothing succeeds and then by bisection, `search_steps` values.
    search_steps * steps gradients; the nearest success of all is kept. kappa > 0 asks for that margin, and an image with
    less is not a success of this attack. The defaults are the thesis' for MNIST; CIFAR-10: lr=0.1, c=0.1.
    box: a bound on every |x_i - x0_i|; x is then c + h tanh z in the interval [x0 - box, x0 + box] cut by [0,1], the one
    in which `CIA` moves, so that no clipping is needed afterwards. Raises ContractError on a negative box.
    Departures: Adam restarts at the image for each c; no early abort; the chart starts 1e-6 inside the box, so that
    pixels at exactly 0 or 1 can move; `box` is ours.
    """

    search_steps: int = 5
    steps: int = 20
    lr: float = 0.5
    c: float = 1.0
    kappa: float = 0.0
    box: float | None = None

    def __post_init__(self) -> None:
        if self.box is not None and not self.box >= 0:
            raise ContractError(f"expected a box >= 0, got {self.box}")

    def inner(self, oracle: Oracle) -> CWSteps:
        return CWSteps(self.steps, self.lr, self.kappa, boxed=self.box is not None)

    def run(self, oracle: Oracle) -> Result:
        return super().run(oracle if self.box is None else oracle.confined(Linf(self.box)))
