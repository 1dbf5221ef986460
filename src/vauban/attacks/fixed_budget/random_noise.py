"""Random noise, the reference that no attack may lose to (Carlini et al. 2019).

Carlini et al., On evaluating adversarial robustness, 2019 (arXiv:1902.06705).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ball_steps import check_norm
from vauban.core.losses import margin
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.parameters import Count
from vauban.core.tensors import unit, where
from vauban.engine import Oracle, Steps


@dataclass(frozen=True)
class RandomNoiseState:
    """State of random noise.

    Attributes:
        x: The image of highest value so far, `(batch, ...)`.
        value: Its margin, or where only labels are granted 1 if it reached the goal and 0 if not, `(batch,)`.
    """

    x: Tensor
    value: Tensor


@registry.register("random-noise", norms=("linf", "l2", "l1"), needs="labels", targeted=True, randomised=True)
@dataclass(frozen=True)
class RandomNoise(Steps[RandomNoiseState]):
    """The best of several random noises of the ball, one query each.

    L-infinity: x0 + eps u, u uniform on [-1, 1]; L2, L1: x0 + eps n / ||n||, n Gaussian; then clipped to [0,1]. Without
    a success, the image of largest margin where the threat grants scores.

    Attributes:
        ball: The budget: L-infinity, L2 or L1, radius in pixel units (pixels in [0,1]).
        steps: Number of noises.

    Raises:
        ContractError: A ball of another norm.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.ball, Linf, L2, L1)

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.steps + 1, 0

    def start(self, oracle: Oracle, **per_sample: Tensor) -> RandomNoiseState:
        x0 = oracle.domain.x0
        return RandomNoiseState(x0, torch.full((len(x0),), -torch.inf, dtype=x0.dtype, device=x0.device))

    def step(self, oracle: Oracle, state: RandomNoiseState, t: int) -> RandomNoiseState:
        x = oracle.domain.project(oracle.domain.x0 + self._noise(oracle, t))
        if "scores" in oracle.threat.grants:
            value = margin(oracle.scores(x), oracle.goal).to(state.value.dtype)
        else:
            value = oracle.reached(x).to(state.value.dtype)
        better = value > state.value
        return RandomNoiseState(where(better, x, state.x), torch.where(better, value, state.value))

    def _noise(self, oracle: Oracle, t: int) -> Tensor:
        """Noise number t of each row, `(batch, ...)`, as long as the radius."""
        x0, ball, mask = oracle.domain.x0, oracle.domain.ball, oracle.domain.mask
        assert ball is not None
        shape = tuple(x0.shape[1:])
        if ball.norm is Linf:
            noise = 2 * oracle.rng.uniform("noise", shape, t, dtype=x0.dtype) - 1
        else:
            noise = oracle.rng.normal("noise", shape, t, dtype=x0.dtype)
            noise = unit(noise if mask is None else noise * mask, ball.norm.p)
        return noise * ball.scale(x0)
