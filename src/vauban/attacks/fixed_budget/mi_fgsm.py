"""Momentum iterative method, MI-FGSM (Dong et al. 2018).

Dong et al., Boosting adversarial attacks with momentum, 2018 (arXiv:1710.06081), algorithm 1, and its L2 form.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ball_steps import advance
from vauban.attacks.parts.stepsize import StepSize, stepped
from vauban.core.losses import Loss, auto
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Count, NonNegative, Positive
from vauban.core.tensors import unit
from vauban.engine import Oracle, Steps


@dataclass(frozen=True)
class MIFGSMState:
    """State of MI-FGSM.

    Attributes:
        x: The iterate, `(batch, ...)`.
        momentum: The gathered gradients m, `(batch, ...)`.
    """

    x: Tensor
    momentum: Tensor


@registry.register("mi-fgsm", norms=("linf", "l2", "l1"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class MIFGSM(Steps[MIFGSMState], StepSize):
    """BIM along gathered gradients.

    m_{t+1} = mu m_t + g_t / ||g_t||_1 per sample, x_{t+1} = P(x_t + alpha eps s(m_{t+1})), g_t the image gradient of
    the loss, s the steepest direction of unit norm, P the projection on the ball and [0,1].

    Departures: the projection P on the ball is ours; at the paper's step size no iterate leaves it.

    Attributes:
        ball: The budget: L-infinity, L2 or L1, radius in pixel units (pixels in [0,1]).
        steps: Number of steps, one gradient each.
        rel_stepsize: alpha, the length of a step as a share of the radius eps; None: 1 / steps, the paper's.
        abs_stepsize: The length of a step in pixel units, in the place of rel_stepsize.
        momentum: mu, the weight of the gradients gathered before; 0 keeps none.
        loss: What is raised, one value per sample; larger is better for the attacker.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 10
    rel_stepsize: Positive | None = None
    abs_stepsize: Positive | None = None
    momentum: NonNegative = 1.0
    loss: Loss = auto

    @property
    def usual_stepsize(self) -> float:
        return 1 / self.steps

    def start(self, oracle: Oracle, **per_sample: Tensor) -> MIFGSMState:
        return MIFGSMState(oracle.domain.x0, torch.zeros_like(oracle.domain.x0))

    def step(self, oracle: Oracle, state: MIFGSMState, t: int) -> MIFGSMState:
        _, (g,) = oracle.gradient(state.x, self.loss)
        gathered = self.momentum * state.momentum + unit(g, 1)
        return MIFGSMState(advance(oracle, state.x, gathered, stepped(self, oracle, state.x)), gathered)
