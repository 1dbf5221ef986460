"""Sigma-zero: few changed components by a smooth stand-in for the L0 norm (Cinà et al. 2024).

Cinà, Villani, Pintor, Schönherr, Biggio, Pelillo, sigma-zero: gradient-based optimization of l0-norm adversarial examples,
2024 (arXiv:2402.01879), equations (4)-(6), algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.minimal_steps import cosine
from vauban.attacks.parts.optimisers import Adam, AdamMoments
from vauban.core.losses import margin
from vauban.core.norms import L0, Linf, Norm
from vauban.core.parameters import Count, Range, Share, StepRate
from vauban.core.tensors import like
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

LAST = 0.1  # share of the first rate that the last steps have
TINY = 1e-12


@dataclass(frozen=True)
class SigmaZeroState:
    """State of sigma-zero.

    Attributes:
        x: The iterate, `(batch, ...)`.
        moments: Adam's.
        tau: Size below which a change is undone, in pixel units, `(batch,)`.
    """

    x: Tensor
    moments: AdamMoments
    tau: Tensor


def sharpness(d: Tensor, sigma: float) -> Tensor:
    """Gradient of the smooth count sum_i d_i^2 / (d_i^2 + sigma): 2 sigma d / (d^2 + sigma)^2, of the shape of d."""
    return 2 * sigma * d / (d.square() + sigma).square()


@registry.register("sigma-zero", norms=("l0",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class SigmaZero(Steps[SigmaZeroState]):
    """Sigma-zero: descent on the margin and a smooth count of the changed components; small changes are undone each step.

    L = max(-m, 0) + (1/n) sum_i d_i^2 / (d_i^2 + sigma), with d = x - x0, n components and m the margin, positive where the
    goal is reached. Adam steps along the gradient of L over its largest component, at a rate annealed by a cosine from
    `eta` to a tenth of it; x is clipped to [0,1], and every component with |d_i| < tau goes back to x0. tau grows by
    `tau_factor` times the rate where x is adversarial, which drops components, and shrinks by as much elsewhere, within
    [0, 1]. One gradient per step; the nearest success counts.

    Departures: targeted goals, by their margin (the paper is untargeted); the network is shown images rounded to the pixel
    grid of the threat, while the iterate stays between the levels.

    Attributes:
        steps: Number of steps, one gradient each.
        eta: First rate of Adam, in pixel units (pixels in [0,1]).
        sigma: Sharpness of the count: a change counts as one half at the size sqrt(sigma), in squared pixel units.
        tau: First size below which a change is undone, in pixel units.
        tau_factor: Share of the rate by which a step moves tau.
    """

    steps: Count = 1000
    eta: StepRate = 1.0
    sigma: Annotated[float, Range(1e-12, 1e6)] = 1e-3
    tau: Share = 0.3
    tau_factor: Share = 0.01
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"

    @property
    def norm(self) -> Norm:
        return L0

    def start(self, oracle: Oracle, **per_sample: Tensor) -> SigmaZeroState:
        x0 = oracle.domain.x0
        return SigmaZeroState(x0, Adam(self.eta).begin(x0), torch.full_like(x0.flatten(1)[:, 0], self.tau))

    def step(self, oracle: Oracle, state: SigmaZeroState, t: int) -> SigmaZeroState:
        x0 = oracle.domain.x0
        logits, (g,) = oracle.gradient(state.x, margin)
        standing = margin(logits, oracle.goal) < 0
        slope = g * like(standing, g) - sharpness(state.x - x0, self.sigma) / x0[0].numel()
        slope = slope / like(Linf.size(slope).clamp_min(TINY), slope)
        x, moments = Adam(self._rate(t - 1)).climb(state.x, slope, state.moments, t)
        x = oracle.domain.project(x)
        change = self.tau_factor * self._rate(t)
        tau = torch.where(oracle.won(logits), state.tau + change, state.tau - change).clamp(0, 1)
        return SigmaZeroState(torch.where((x - x0).abs() < like(tau, x), x0, x), moments, tau)

    def _rate(self, t: int) -> float:
        """The rate after step t; the first one before any."""
        return cosine(max(t, 0), self.steps, self.eta, LAST * self.eta)
