"""Random noise: the reference that no attack may lose to (Carlini et al., On evaluating adversarial robustness, 2019,
arXiv:1902.06705)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ball_steps import check_norm
from vauban.core.losses import margin
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.tensors import unit, where
from vauban.engine import Oracle, Steps


@dataclass(frozen=True)
class RandomNoiseState:
    """x: the image of highest value so far; value `(batch,)`: its margin, or 1 where only labels are granted and it
    reached the goal."""

    x: Tensor
    value: Tensor


@registry.register("random-noise", norms=("linf", "l2", "l1"), needs="labels", targeted=True, randomised=True)
@dataclass(frozen=True)
class RandomNoise(Steps[RandomNoiseState]):
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

    def start(self, oracle: Oracle, **per_sample: Tensor) -> RandomNoiseState:
        return RandomNoiseState(
            oracle.domain.x0,
            torch.full((len(oracle),), -torch.inf, dtype=oracle.domain.x0.dtype, device=oracle.domain.x0.device),
        )

    def step(self, oracle: Oracle, state: RandomNoiseState, t: int) -> RandomNoiseState:
        x = oracle.domain.project(oracle.domain.x0 + self._noise(oracle, t))
        if "scores" in oracle.threat.grants:
            value = margin(oracle.scores(x), oracle.goal).to(state.value.dtype)
        else:
            value = oracle.reached(x).to(state.value.dtype)
        better = value > state.value
        return RandomNoiseState(where(better, x, state.x), torch.where(better, value, state.value))

    def _noise(self, oracle: Oracle, t: int) -> Tensor:
        assert oracle.domain.ball is not None
        shape, dtype = tuple(oracle.domain.x0.shape[1:]), oracle.domain.x0.dtype
        if oracle.domain.ball.norm is Linf:
            d = 2 * oracle.rng.uniform("noise", shape, t, dtype=dtype) - 1
        else:
            d = oracle.rng.normal("noise", shape, t, dtype=dtype)
            d = unit(d if oracle.domain.mask is None else d * oracle.domain.mask, oracle.domain.ball.norm.p)
        return d * oracle.domain.ball.scale(oracle.domain.x0)
