"""Elastic-net attack, EAD (Chen et al. 2018).

Chen et al., EAD: elastic-net attacks to deep neural networks via adversarial examples, 2018 (arXiv:1709.04114),
equations (4)-(8) and algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.penalty_search import Constant, PenaltySearch
from vauban.core.losses import margin
from vauban.core.norms import L1, L2, Norm
from vauban.core.parameters import Count, NonNegative, StepRate
from vauban.core.tensors import like
from vauban.engine import Oracle, Result, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

Rule = Literal["l1", "en"]
Method = Literal["fista", "ista"]


@dataclass(frozen=True)
class Elastic(Norm):
    """Elastic net beta ||d||_1 + ||d||_2^2, by which the rule "en" chooses; not a norm, but a run may measure by it.

    Attributes:
        beta: Weight of the L1 term.
    """

    beta: float
    name: ClassVar[str] = "elastic"

    def size(self, d: Tensor) -> Tensor:
        return self.beta * L1.size(d) + L2.size(d).square()


@dataclass(frozen=True)
class EADState:
    """State of EAD at one constant per sample.

    Attributes:
        x: The iterate, `(batch, ...)`.
        y: The point where the next gradient is taken, `(batch, ...)`.
        c: Weight of the loss, `(batch,)`.
    """

    x: Tensor
    y: Tensor
    c: Tensor


def shrink(z: Tensor, x0: Tensor, beta: float) -> Tensor:
    """S_beta(z), equation (8): z moved toward x0 by beta, x0 itself where it is nearer than that, clipped to [0,1].

    The minimiser over [0,1] of (x - z)^2 / 2 + beta |x - x0| in every component.

    Args:
        z: Points, `(batch, ...)`.
        x0: The originals, of the shape of z.
        beta: Threshold, in pixel units.

    Returns:
        Points in [0,1], of the shape of z.
    """
    d = z - x0
    return (x0 + d.sign() * (d.abs() - beta).clamp_min(0)).clamp(0, 1)


@dataclass(frozen=True)
class EADSteps(Steps[EADState]):
    """ISTA or FISTA on c [kappa - margin(x)]_+ + ||x - x0||_2^2 + beta ||x - x0||_1, at one constant c per sample.

    The hyper-parameters are those of `EAD`.
    """

    steps: Count
    lr: StepRate
    beta: NonNegative
    kappa: NonNegative
    rule: Rule
    method: Method
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"
    per_sample: ClassVar[tuple[str, ...]] = ("c",)

    @property
    def norm(self) -> Norm:
        return L1 if self.rule == "l1" else Elastic(self.beta)

    def start(self, oracle: Oracle, **per_sample: Tensor) -> EADState:
        return EADState(oracle.domain.x0, oracle.domain.x0, per_sample["c"])

    def step(self, oracle: Oracle, state: EADState, t: int) -> EADState:
        x0 = oracle.domain.x0
        _, (g,) = oracle.gradient(state.y, margin)
        push = state.c * (oracle.loss <= self.kappa)
        rate = self.lr * math.sqrt(1 - t / self.steps)
        z = state.y - rate * (2 * (state.y - x0) - like(push, g) * g)
        x = oracle.domain.project(shrink(z, x0, self.beta))
        momentum = t / (t + 3) if self.method == "fista" else 0.0
        return EADState(x, x + momentum * (x - state.x), state.c)


@registry.register("ead", norms=("l1",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class EAD(PenaltySearch):
    """Elastic net: Carlini and Wagner's loss with a sparse perturbation, by iterated shrinkage.

    min_x c [kappa - margin(x)]_+ + ||x - x0||_2^2 + beta ||x - x0||_1 over [0,1]: x_{k+1} = S_beta(y_k - a_k grad
    g(y_k)), g the first two terms, a_k = lr sqrt(1 - k / steps); method "fista": y_{k+1} = x_{k+1} + k / (k + 3)
    (x_{k+1} - x_k), "ista": y = x. c is searched per sample, times 10 while nothing succeeds and then by bisection;
    search_steps * steps gradients. Distances are measured in L1 under both rules. As in the paper the threshold of S is
    beta, whatever a_k: the L1 term that is minimised has weight beta / a_k.

    Departures: a success is kept at the points where gradients are taken, y_k in [0,1] and on the pixel grid of the
    threat, and at the last x_k, so that a step costs one forward (asking at every x_k too makes the median L1 on our
    digits at most 1 % smaller). The paper runs 9 * 1000 steps from c = 0.001.

    Attributes:
        search_steps: Number of values of c.
        steps: Number of steps at each c, one gradient each.
        lr: First rate a_0.
        beta: Weight of the L1 term and threshold of the shrinkage, in pixel units (pixels in [0,1]).
        c: First weight of the loss.
        kappa: Margin, in logits, that is asked for where it is above 0.
        rule: Of the successes of all c, "l1" keeps the one of least ||d||_1, "en" of least ||d||_2^2 + beta ||d||_1.
        method: "fista", with momentum, or "ista", without.
    """

    search_steps: Count = 5
    steps: Count = 100
    lr: StepRate = 0.01
    beta: NonNegative = 1e-2
    c: Constant = 1.0
    kappa: NonNegative = 0.0
    rule: Rule = "l1"
    method: Method = "fista"

    @property
    def norm(self) -> Norm:
        return L1

    def inner(self, oracle: Oracle) -> EADSteps:
        return EADSteps(self.steps, self.lr, self.beta, self.kappa, self.rule, self.method)

    def run(self, oracle: Oracle) -> Result:
        result = super().run(oracle)
        size = L1.size(result.adversarial - oracle.domain.x0)
        return replace(result, distance=torch.where(result.success, size, torch.inf))
