"""Centered initial attack, CIA (2018).

Clipping free attacks against neural networks, under review for ICLR 2018, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.optimisers import Adam, Optimiser, OptimiserFactory, TorchOptimiser
from vauban.core.coordinates import CURVES, IntervalCoordinates
from vauban.core.errors import ContractError, UnknownName
from vauban.core.losses import Loss, cross_entropy
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Count, Range, Share, StepRate
from vauban.core.tensors import flat
from vauban.core.tolerance import level_slack
from vauban.engine import Oracle, Steps

Edge = Share | Tensor
"""One end of the pixels' range: one number, or a tensor with one value per feature."""
Decay = Annotated[float, Range(0, 1, open_high=True)]


@dataclass(frozen=True)
class CIAState:
    """State of CIA.

    Attributes:
        r: The free variable, `(batch, ...)`.
        interval: The interval of each component.
        memory: What the optimiser remembers.
    """

    r: Tensor
    interval: IntervalCoordinates
    memory: Any


@registry.register("cia", norms=("linf",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class CIA(Steps[CIAState]):
    """Adam on a free variable r whose image cannot leave the ball: no clipping.

    X = x* + Delta* g(r), (1)-(2), where the centre x* = (lo + hi)/2 and the half-width Delta* = (hi - lo)/2 are those
    of the interval lo = max(low, x - Delta), hi = min(high, x + Delta) that each component may use; r starts at 0, so
    the first image is x* and not x; then steps of Adam on the loss L(F, x* + Delta* g(r)), (3). Delta is the ball's
    radius: a number, one per sample or one per component; where it is 0, and outside a mask, X = x. The paper runs
    every image to its end, without rounding on the way (levels=None), and rounds the last one: `engine.iterate(attack,
    oracle, stop="never", keep="last")`.

    Departures: the three printed cases of x* and Delta* are one formula, which also covers equality and an interval cut
    on both sides; the printed half-width of case (b), (x + Delta + alpha)/2, is right for alpha = 0 only, ours is (x +
    Delta - alpha)/2; the loss of an untargeted attack, which is not printed, is the cross-entropy of the true label; a
    last clamp to [lo, hi] takes back what rounding in floating point adds.

    Attributes:
        ball: The budget: L-infinity, radius Delta in pixel units (pixels in [0,1]).
        steps: Number of steps of the optimiser, one gradient each.
        lr: Rate of Adam.
        beta1, beta2: Decay of Adam's means of the slope and of its square.
        curve: g: tanh, sigmoid (2 (sigmoid - 1/2)) or sin.
        loss: What is raised, one value per sample; larger is better for the attacker.
        low, high: The domain [alpha, beta] in [0,1], numbers or one value per feature; on a pixel grid they move
            inwards to it. For data in other units see `models.bounded`.
        optimiser: None for Adam, or a function of [parameters] that makes any torch optimiser which steps each
            component on its own; lr, beta1 and beta2 are then not used.

    Raises:
        UnknownName: No such curve.
        ContractError: A ball that is not L-infinity; when run, images outside [low, high] or an optimiser that mixes
            samples.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 20
    lr: StepRate = 0.2
    beta1: Decay = 0.1
    beta2: Decay = 0.6
    curve: str = "tanh"
    loss: Loss = cross_entropy
    low: Edge = 0.0
    high: Edge = 1.0
    optimiser: OptimiserFactory | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.curve not in CURVES:
            raise UnknownName("curve", self.curve, CURVES)
        if self.ball.norm != Linf:
            raise ContractError(f"expected a ball of linf for cia, got {self.ball}")
        low, high = torch.as_tensor(self.low), torch.as_tensor(self.high)
        for name, edge in (("low", low), ("high", high)):
            if not bool(((edge >= 0) & (edge <= 1)).all()):
                raise ContractError(f"expected {name} in [0, 1], got {edge.tolist()}; models.bounded takes other units")
        if not bool((low < high).all()):
            raise ContractError(f"expected low < high for cia, got {low.tolist()} and {high.tolist()}")

    @property
    def _rule(self) -> Optimiser:
        return Adam(self.lr, self.beta1, self.beta2) if self.optimiser is None else TorchOptimiser(self.optimiser)

    def start(self, oracle: Oracle, **per_sample: Tensor) -> CIAState:
        x0, ball, mask = oracle.domain.x0, oracle.domain.ball, oracle.domain.mask
        assert ball is not None
        low, high = self._domain(oracle)
        interval = IntervalCoordinates.around(x0, ball.scale(x0), low, high, mask, "centre", self.curve)
        r = interval.start(x0)
        return CIAState(r, interval, self._rule.begin(r))

    def step(self, oracle: Oracle, state: CIAState, t: int) -> CIAState:
        g = state.interval.value(state.r)
        _, (slope,) = oracle.gradient(state.interval.place(g), self.loss)
        r, memory = self._rule.climb(state.r, state.interval.pull(state.r, slope, g), state.memory, t)
        return CIAState(r, state.interval, memory)

    def candidate(self, oracle: Oracle, state: CIAState) -> Tensor:
        return state.interval.image(state.r)

    def _domain(self, oracle: Oracle) -> tuple[Tensor, Tensor]:
        """[low, high] as it broadcasts to the images, moved inwards to the pixel grid where there is one."""
        x0 = oracle.domain.x0
        low, high = (_feature(name, edge, x0) for name, edge in (("low", self.low), ("high", self.high)))
        inside = flat((x0 >= low) & (x0 <= high)).all(1)
        if not bool(inside.all()):
            sample = int((~inside).nonzero()[0])
            raise ContractError(f"expected images within [low, high] of cia, got others in sample {sample}")
        if oracle.domain.grid is not None:
            n = oracle.domain.grid.levels - 1
            slack = level_slack(oracle.domain.grid.levels, x0.dtype)
            low = torch.minimum((low * n - slack).ceil_().div_(n), x0)
            high = torch.maximum((high * n + slack).floor_().div_(n), x0)
        return low, high


def _feature(name: str, edge: Edge, x0: Tensor) -> Tensor:
    """An end of the pixels' range as a tensor of the shape of one image."""
    bound = torch.as_tensor(edge, dtype=x0.dtype, device=x0.device)
    try:
        return bound.expand(x0.shape[1:])
    except RuntimeError:
        raise ContractError(
            f"expected {name} as a number or one value per feature {tuple(x0.shape[1:])}, "
            f"got shape {tuple(bound.shape)}"
        ) from None
