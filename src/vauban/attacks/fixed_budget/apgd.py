"""Auto-PGD (Croce and Hein 2020; for L1 2021).

Croce and Hein, Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks, 2020
(arXiv:2003.01690), algorithm 1; for L1 Croce and Hein, Mind the box, 2021 (arXiv:2103.01208).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.fixed_budget.pgd import random_start
from vauban.attacks.parts import apgd_l1
from vauban.attacks.parts.apgd_state import APGDState
from vauban.attacks.parts.ball_steps import ascend, check_norm
from vauban.core.losses import Loss, auto
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.parameters import Count
from vauban.core.tensors import like
from vauban.engine import Oracle, Steps

RISING = 0.75  # rho: the share of steps that must raise the loss for the step size to stay
MOMENTUM = 0.75  # alpha: the weight of the new direction


def checkpoints(steps: int) -> tuple[int, ...]:
    """Steps at which the step size is reviewed, w_1 < w_2 < ... < steps (section 3.2), in exact hundredths.

    w_j = ceil(p_j steps), p_0 = 0, p_1 = 0.22, p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06).
    """
    percent, gap, numbers = 22, 22, []
    while percent < 100:
        numbers.append(-(-percent * steps // 100))
        gap = max(gap - 3, 6)
        percent += gap
    return tuple(w for w in dict.fromkeys(numbers) if w < steps)


def review(state: APGDState, spans: Tensor | float) -> APGDState:
    """Halve the step, and go back to the best point, in the rows where the ascent has stalled.

    A row has stalled where too few of the last `spans` steps raised the loss (condition 1), or where neither the step
    nor the best loss has changed since the last checkpoint (condition 2).

    Args:
        state: The state at a checkpoint.
        spans: Steps since the checkpoint before, one number or `(batch,)`.

    Returns:
        The state from which the ascent goes on.
    """
    stuck = ~state.halved & (state.best_loss == state.checked_loss)
    halve = (state.rises < RISING * spans) | stuck
    return replace(
        state.back_to_best(halve),
        step=torch.where(halve, state.step / 2, state.step),
        rises=torch.zeros_like(state.rises),
        checked_loss=state.best_loss,
        halved=halve,
    )


def move(oracle: Oracle, state: APGDState, first: bool) -> Tensor:
    """Next point: z = P(x + eta s(g)), then P(x + a (z - x) + (1 - a) (x - x_old)), a = 1 in the first step."""
    z = ascend(oracle, state.x, state.gradient, like(state.step, state.x))
    if first:
        return z
    return oracle.domain.project(state.x + MOMENTUM * (z - state.x) + (1 - MOMENTUM) * (state.x - state.old))


@registry.register("apgd", norms=("linf", "l2", "l1"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class APGD(Steps[APGDState]):
    """PGD with momentum that halves each sample's step, and returns to its best point, when the loss stops rising.

    The step starts at 2 eps and is halved at checkpoints by two conditions; see `checkpoints` and `review`. For L1 the
    step is sparse, and the projection is the exact one on the ball and [0,1] together; see `apgd_l1`. The closing check
    judges the last point.

    Departures: the default loss is the cross-entropy until it saturates, then the margin (`auto`), where the authors take
    the cross-entropy or DLR (loss=ce, loss=dlr; `standard` takes both). From their code: condition 1 is strict, as in the
    paper; a random start is uniform in the L-infinity ball instead of touching its surface, and of uniform radius for L2;
    L1 has no schedule of larger radii.

    Attributes:
        ball: The budget: L-infinity, L2 or L1, radius in pixel units (pixels in [0,1]).
        steps: Number of steps, one gradient each.
        loss: What is raised, one value per sample; larger is better for the attacker.
        random_start: Whether to begin at a random point of the ball instead of the image.

    Raises:
        ContractError: A ball of another norm.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 100
    loss: Loss = auto
    random_start: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.ball, Linf, L2, L1)

    @cached_property
    def _checkpoints(self) -> Sequence[int]:
        return checkpoints(self.steps)

    def start(self, oracle: Oracle, **per_sample: Tensor) -> APGDState:
        if self.ball.norm is L1:
            return apgd_l1.start(oracle, self.random_start)
        return APGDState.at(random_start(oracle) if self.random_start else oracle.domain.x0, step=2.0)

    def step(self, oracle: Oracle, state: APGDState, t: int) -> APGDState:
        _, (g,) = oracle.gradient(state.x, self.loss)
        state = state.seen(g, oracle.loss)
        if self.ball.norm is L1:
            if t and t % apgd_l1.period(self.steps) == 0:
                state = apgd_l1.review(state, oracle.domain.x0)
            x = apgd_l1.move(oracle, state)
        else:
            if t in self._checkpoints:
                state = review(state, t - max((w for w in self._checkpoints if w < t), default=0))
            x = move(oracle, state, first=t == 0)
        return replace(state, x=x, old=state.x)
