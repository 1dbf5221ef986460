"""Decoupled direction and norm, DDN (Rony et al. 2019).

Rony et al., Decoupling direction and norm for efficient gradient-based L2 adversarial attacks and defenses, 2019
(arXiv:1811.09600), algorithm 1; (2.20) of the thesis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ascent import Ascent
from vauban.attacks.parts.minimal_steps import Rate, StateKind, cosine, remembered
from vauban.core.losses import Loss, auto
from vauban.core.parameters import Count, NonNegative, Positive
from vauban.core.tensors import like, unit
from vauban.engine import Oracle
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep


@dataclass(frozen=True)
class DDNState:
    """State of DDN.

    Attributes:
        x: The iterate, `(batch, ...)`.
        eps: Radius of the sphere it was put on, `(batch,)`.
    """

    x: Tensor
    eps: Tensor


@registry.register("ddn", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class DDN(Ascent[DDNState]):
    """Decoupled direction and norm: a gradient step, then back to a sphere that shrinks while the image is adversarial.

    eps <- (1 - gamma_t) eps where x is adversarial, (1 + gamma_t) eps elsewhere; d <- x - x0 + alpha_t g / ||g||_2; x
    <- Q(x0 + eps d / ||d||_2). alpha_t and gamma_t are annealed by a cosine from their first to their last values; Q
    clips to [0,1]. The network is shown x rounded to the pixel grid of the threat; the state is rounded too with
    state="quantised". One gradient per step.

    As printed: gamma=0.05, gamma_last=0.05, state="quantised". That radius comes no further than 1.05^steps from `eps` and
    0.95^steps back: with 20 steps it fails on half the images of robust networks, and stays too far on CIFAR-10.

    Departures: the radius is the paper's own eps and not the thesis' ||x - x0||_2, which clipping makes smaller; where
    the gradient vanishes the direction is kept.

    Attributes:
        steps: Number of steps, one gradient each.
        eps: First radius, in pixel units (pixels in [0,1]) of L2.
        gamma: First share by which a step changes the radius.
        gamma_last: Its last share.
        alpha: First length of a gradient step, in pixel units of L2.
        alpha_last: Its last length.
        loss: What is raised: `auto`, the paper's cross-entropy wherever it has a gradient; option `margin`.
        state: "free" remembers the iterate unrounded, so that changes below half a level add up; "quantised" rounds it
            in every step.
    """

    steps: Count = 100
    eps: Positive = 1.0
    gamma: Rate = 0.3
    gamma_last: Rate = 0.01
    alpha: NonNegative = 1.0
    alpha_last: NonNegative = 0.01
    loss: Loss = auto
    state: StateKind = "free"
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"

    def start(self, oracle: Oracle, **per_sample: Tensor) -> DDNState:
        return DDNState(oracle.domain.x0, torch.full_like(oracle.domain.x0.flatten(1)[:, 0], self.eps))

    def move(self, oracle: Oracle, state: DDNState, t: int, logits: Tensor, g: Tensor) -> DDNState:
        adversarial = oracle.won(logits)
        gamma = cosine(t, self.steps, self.gamma, self.gamma_last)
        eps = state.eps * torch.where(adversarial, 1 - gamma, 1 + gamma)
        d = state.x - oracle.domain.x0 + cosine(t, self.steps, self.alpha, self.alpha_last) * unit(g)
        return DDNState(remembered(oracle.domain, self.state, oracle.domain.x0 + like(eps, d) * unit(d)), eps)
