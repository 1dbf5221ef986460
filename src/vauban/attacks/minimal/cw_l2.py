"""L2 attack of Carlini and Wagner (2017).

Towards evaluating the robustness of neural networks, 2017 (arXiv:1608.04644), sections V and VI-A; (2.18)-(2.19) of the
thesis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.optimisers import Adam, AdamMoments
from vauban.attacks.parts.penalty_search import Constant, PenaltySearch
from vauban.core.coordinates import IntervalCoordinates
from vauban.core.losses import margin
from vauban.core.norms import Linf
from vauban.core.parameters import Count, NonNegative, StepRate
from vauban.core.tensors import like
from vauban.engine import Oracle, Result, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

CHART = IntervalCoordinates(0.0, 1.0, start_at="image")


@dataclass(frozen=True)
class CWState:
    """State of the L2 attack at one constant per sample.

    Attributes:
        z: Coordinates in a chart, `(batch, ...)`.
        moments: Adam's two moments.
        c: Weight of the loss, `(batch,)`.
        chart: The chart, whose images lie in [0,1] or in the ball.
    """

    z: Tensor
    moments: AdamMoments
    c: Tensor
    chart: IntervalCoordinates


@dataclass(frozen=True)
class CWSteps(Steps[CWState]):
    """Adam on ||x - x0||_2^2 + c [kappa - margin(x)]_+ in the coordinates z, at one constant c per sample.

    Attributes:
        steps: Number of steps, one gradient each.
        lr: Rate of Adam in the coordinates z.
        kappa: Margin, in logits, from which the loss is zero.
        boxed: Whether the chart is the interval of the ball in which the attack moves instead of [0,1].
    """

    steps: Count
    lr: StepRate
    kappa: NonNegative
    boxed: bool = False
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"
    per_sample: ClassVar[tuple[str, ...]] = ("c",)

    def start(self, oracle: Oracle, **per_sample: Tensor) -> CWState:
        x0, ball, chart = oracle.domain.x0, oracle.domain.ball, CHART
        if self.boxed:
            assert ball is not None
            chart = IntervalCoordinates.around(x0, ball.scale(x0), mask=oracle.domain.mask, start_at="image")
        z = chart.start(x0)
        return CWState(z, Adam(self.lr).begin(z), per_sample["c"], chart)

    def step(self, oracle: Oracle, state: CWState, t: int) -> CWState:
        u = state.chart.value(state.z)
        x = oracle.domain.project(state.chart.place(u))
        _, (g,) = oracle.gradient(x, margin)
        push = state.c * (oracle.loss <= self.kappa)
        # half of the slope in x, at which Adam's step is the same
        half = torch.addcmul(oracle.domain.x0 - x, like(push, g), g, value=0.5)
        z, moments = Adam(self.lr).climb(state.z, state.chart.pull(state.z, half, u), state.moments, t)
        return CWState(z, moments, state.c, state.chart)

    def candidate(self, oracle: Oracle, state: CWState) -> Tensor:
        return oracle.domain.project(state.chart.image(state.z))


@registry.register("cw-l2", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class CW(PenaltySearch):
    """Carlini and Wagner, L2: the distance plus c times a hinge on the logits, minimised in a box by construction.

    min_z ||x - x0||_2^2 + c [z_y - max_{k != y} z_k + kappa]_+ with x = (1 + tanh z) / 2, by Adam; c is searched per
    sample, times 10 while nothing succeeds and then by bisection. search_steps * steps gradients; the nearest success
    of all is kept. The defaults are the thesis' for MNIST; CIFAR-10: lr=0.1, c=0.1.

    Departures: Adam restarts at the image for each c; no early abort; the chart starts 1e-6 inside the box, so that
    pixels at exactly 0 or 1 can move; `box` is ours.

    Attributes:
        search_steps: Number of values of c.
        steps: Number of steps at each c, one gradient each.
        lr: Rate of Adam in the coordinates z.
        c: First weight of the loss.
        kappa: Margin, in logits, that is asked for where it is above 0; an image with less is then no success of this
            attack.
        box: Bound on every |x_i - x0_i|, in pixel units (pixels in [0,1]); x is then c + h tanh z in the interval [x0 -
            box, x0 + box] cut by [0,1], the one in which `CIA` moves, so that no clipping is needed afterwards. None:
            no bound.
    """

    search_steps: Count = 5
    steps: Count = 20
    lr: StepRate = 0.5
    c: Constant = 1.0
    kappa: NonNegative = 0.0
    box: NonNegative | None = None

    def inner(self, oracle: Oracle) -> CWSteps:
        return CWSteps(self.steps, self.lr, self.kappa, boxed=self.box is not None)

    def run(self, oracle: Oracle) -> Result:
        return super().run(oracle if self.box is None else oracle.confined(Linf(self.box)))
