"""Random noise: the reference that no attack may lose to (Carlini et al., On evaluating adversarial robustness, 2019,
arXiv:1902.06705)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.fixed_budget.moves import check_norm
from vauban.core.losses import margin
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.tensors import unit, where
from vauban.engine import Ask, Steps


@dataclass(frozen=True)
class Tried:
    """x: the image of highest value so far; value `(batch,)`: its margin, or 1 where only labels are granted and it
    reached the goal."""

    x: Tensor
    value: Tensor


@registry.register("random-noise", norms=("linf", "l2", "l1"), needs="labels", targeted=True, randomised=True)
@dataclass(frozen=True)
class RandomNoise(Steps[Tried]):
    """The best of `steps` random noises of the ball, one query each.

    L-infinity: x0 + eps u, u uniform on [-1, 1]; L2, L1: x0 + eps n / ||n||, n Gaussian; then clipped to [0,1]. Without
    a success, the image of largest margin where the threat grants scores. Raises ContractError on another norm.
    """

    ball: Ball = Linf(8 / 255)
    steps: int = 20

    def __post_init__(self) -> None:
        check_norm(self.ball, Linf, L2, L1)

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.steps + 1, 0

    def start(self, ask: Ask, **knobs: Tensor) -> Tried:
        return Tried(ask.x0, torch.full((len(ask),), -torch.inf, dtype=ask.x0.dtype, device=ask.x0.device))

    def step(self, ask: Ask, state: Tried, t: int) -> Tried:
        x = ask.project(ask.x0 + self._noise(ask, t))
        if "scores" in ask.threat.grants:
            value = margin(ask.scores(x), ask.aim).to(state.value.dtype)
        else:
            value = ask.reached(x).to(state.value.dtype)
        better = value > state.value
        return Tried(where(better, x, state.x), torch.where(better, value, state.value))

    def _noise(self, ask: Ask, t: int) -> Tensor:
        assert ask.ball is not None
        shape, dtype = tuple(ask.x0.shape[1:]), ask.x0.dtype
        if ask.ball.norm is Linf:
            d = 2 * ask.rng.uniform("noise", shape, t, dtype=dtype) - 1
        else:
            d = ask.rng.normal("noise", shape, t, dtype=dtype)
            d = unit(d if ask.mask is None else d * ask.mask, ask.ball.norm.p)
        return d * ask.ball.scale(ask.x0)
