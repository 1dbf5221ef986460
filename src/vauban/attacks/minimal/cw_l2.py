"""Carlini and Wagner's L2 attack. Towards evaluating the robustness of neural networks, 2017 (arXiv:1608.04644), sections
V and VI-A; (2.18)-(2.19) of the thesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.fixed_budget.optimisers import Adam, Moments
from vauban.attacks.minimal.constants import Constants
from vauban.core.charts import Interval
from vauban.core.errors import ContractError
from vauban.core.losses import margin
from vauban.core.norms import Linf
from vauban.core.tensors import like
from vauban.engine import Ask, Result, Steps
from vauban.engine.iterate import Keep, Stop

CHART = Interval(0.0, 1.0, start_at="image")


@dataclass(frozen=True)
class Boxed:
    """Coordinates z in a chart, Adam's two moments, and the weight c `(batch,)` of the loss."""

    z: Tensor
    moments: Moments
    c: Tensor
    chart: Interval


@dataclass(frozen=True)
class Penalised(Steps[Boxed]):
    """Adam on ||x - x0||_2^2 + c [kappa - margin(x)]_+ in the coordinates z, at one constant c per sample.

    boxed: the chart is the interval of the ball in which the attack moves instead of [0,1].
    """

    steps: int
    lr: float
    kappa: float
    boxed: bool = False
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"
    knobs: ClassVar[tuple[str, ...]] = ("c",)

    def start(self, ask: Ask, **knobs: Tensor) -> Boxed:
        chart = CHART
        if self.boxed:
            assert ask.ball is not None
            chart = Interval.around(ask.x0, ask.ball.scale(ask.x0), mask=ask.mask, start_at="image")
        z = chart.start(ask.x0)
        return Boxed(z, Adam(self.lr).begin(z), knobs["c"], chart)

    def step(self, ask: Ask, state: Boxed, t: int) -> Boxed:
        u = state.chart.value(state.z)
        x = ask.project(state.chart.place(u))
        _, (g,) = ask.gradient(x, margin)
        push = state.c * (ask.loss <= self.kappa)
        half = torch.addcmul(ask.x0 - x, like(push, g), g, value=0.5)  # of the slope in x; Adam's step is the same
        z, moments = Adam(self.lr).climb(state.z, state.chart.pull(state.z, half, u), state.moments, t)
        return Boxed(z, moments, state.c, state.chart)

    def candidate(self, ask: Ask, state: Boxed) -> Tensor:
        return ask.project(state.chart.image(state.z))


@registry.register("cw-l2", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class CW(Constants):
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

    def inner(self, ask: Ask) -> Penalised:
        return Penalised(self.steps, self.lr, self.kappa, boxed=self.box is not None)

    def run(self, ask: Ask) -> Result:
        return super().run(ask if self.box is None else ask.confined(Linf(self.box)))
