"""Carlini and Wagner's L2 attack. Towards evaluating the robustness of neural networks, 2017 (arXiv:1608.04644), sections
V and VI-A; (2.18)-(2.19) of the thesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.core.charts import Interval
from vauban.core.goals import Aim
from vauban.core.losses import margin
from vauban.core.norms import L2, Norm
from vauban.core.tensors import like
from vauban.engine import Ask, Result, Search, Steps
from vauban.engine.iterate import Keep, Stop

CHART = Interval(0.0, 1.0, start_at="image")
BETA1, BETA2, TINY = 0.9, 0.999, 1e-8  # Adam's own defaults (arXiv:1412.6980)


@dataclass(frozen=True)
class Confident(Aim):
    """The goal is reached only with a margin of at least kappa."""

    kappa: float = 0.0

    def reached(self, logits: Tensor) -> Tensor:
        return super().reached(logits) & (margin(logits, self) >= self.kappa)


@dataclass(frozen=True)
class Adam:
    """Coordinates z, Adam's two moments, and the weight c `(batch,)` of the loss."""

    z: Tensor
    m: Tensor
    v: Tensor
    c: Tensor


@dataclass(frozen=True)
class Penalised(Steps[Adam]):
    """Adam on ||x - x0||_2^2 + c [kappa - margin(x)]_+ in the coordinates z, at one constant c per sample."""

    steps: int
    lr: float
    kappa: float
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"
    knobs: ClassVar[tuple[str, ...]] = ("c",)

    def start(self, ask: Ask, **knobs: Tensor) -> Adam:
        zero = torch.zeros_like(ask.x0)
        return Adam(CHART.start(ask.x0), zero, zero, knobs["c"])

    def step(self, ask: Ask, state: Adam, t: int) -> Adam:
        x = self.candidate(ask, state)
        logits, (g,) = ask.gradient(x, margin)
        push = torch.where(margin(logits, ask.aim) <= self.kappa, state.c, 0)
        slope = CHART.pull(state.z, 2 * (x - ask.x0) - like(push, g) * g)
        m = torch.lerp(slope, state.m, BETA1)
        v = (BETA2 * state.v).addcmul_(slope, slope, value=1 - BETA2)
        second = (v / (1 - BETA2 ** (t + 1))).sqrt_().add_(TINY)
        rate = self.lr / (1 - BETA1 ** (t + 1))
        return Adam(torch.addcdiv(state.z, m, second, value=-rate), m, v, state.c)

    def candidate(self, ask: Ask, state: Adam) -> Tensor:
        return ask.project(CHART.image(state.z))


@registry.register("cw-l2", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class CW:
    """Carlini and Wagner, L2: the distance plus c times a hinge on the logits, minimised in a box by construction.

    min_z ||x - x0||_2^2 + c [z_y - max_{k != y} z_k + kappa]_+ with x = (1 + tanh z) / 2, by `steps` steps of Adam at rate
    `lr`; c is searched per sample from `c`, times 10 while nothing succeeds and then by bisection, `search_steps` values.
    search_steps * steps gradients; the nearest success of all is kept. kappa > 0 asks for that margin, and an image with
    less is not a success of this attack. The defaults are the thesis' for MNIST; CIFAR-10: lr=0.1, c=0.1.
    Departures: Adam restarts at the image for each c; no early abort; (1 + tanh z)/2 starts 1e-6 inside the box, so
    that pixels at exactly 0 or 1 can move.
    """

    search_steps: int = 5
    steps: int = 20
    lr: float = 0.5
    c: float = 1.0
    kappa: float = 0.0

    @property
    def measure(self) -> Norm:
        return L2

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.search_steps * (self.steps + 1), self.search_steps * self.steps

    def run(self, ask: Ask) -> Result:
        if self.kappa > 0:
            ask = ask.aimed(Confident(**vars(ask.aim), kappa=self.kappa))
        inner = Penalised(self.steps, self.lr, self.kappa)
        return Search(inner, "c", self.c, self.search_steps, largest=1e10).run(ask)
