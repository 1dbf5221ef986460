"""Iterative least-likely class method, ILLC (Kurakin et al. 2017).

Kurakin, Goodfellow, Bengio, Adversarial examples in the physical world, 2017 (arXiv:1607.02533), section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ball_steps import advance, destination, heading
from vauban.attacks.parts.stepsize import StepSize, stepped
from vauban.core.losses import Loss, auto
from vauban.core.norms import Ball, Linf
from vauban.core.parameters import Count, Positive
from vauban.engine import Oracle, Steps


@dataclass(frozen=True)
class TowardState:
    """State of an attack that moves toward a class.

    Attributes:
        x: The iterate, `(batch, ...)`.
        toward: The class it moves toward, `(batch,)`.
    """

    x: Tensor
    toward: Tensor


def depart(oracle: Oracle) -> TowardState:
    """State at the image, bound for the target or, without one, for the least likely class (one counted query)."""
    return TowardState(oracle.domain.x0, destination(oracle))


def approach(oracle: Oracle, state: TowardState, loss: Loss, length: float | Tensor) -> TowardState:
    """One step up the loss toward the class.

    Args:
        oracle: Rows inside a ball.
        state: Where they are, and the class they move toward.
        loss: What is raised.
        length: Length of the step in pixel units.

    Returns:
        The state after the step.
    """
    _, (g,) = heading(oracle, state.toward).gradient(state.x, loss)
    return TowardState(advance(oracle, state.x, g, length), state.toward)


@registry.register("illc", norms=("linf", "l2", "l1"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class ILLC(Steps[TowardState], StepSize):
    """BIM toward the least likely class of the clean image.

    x_{t+1} = P(x_t + alpha eps s(g_t)), g_t = grad log p(t | x_t), s the steepest direction of unit norm, P the
    projection on the ball and [0,1]. Success is the goal's: for an untargeted goal any misclassification, as the papers
    count it, for a targeted one the class itself, which then takes the place of the least likely one.

    Attributes:
        ball: The budget: L-infinity, L2 or L1, radius in pixel units (pixels in [0,1]).
        steps: Number of steps, one gradient each; finding the class costs one query.
        rel_stepsize: alpha, the length of a step as a share of the radius eps; None: 1.25 / steps, as for BIM.
        abs_stepsize: The length of a step in pixel units, in the place of rel_stepsize.
        loss: What is raised toward the class; `auto` is log p(t | x) until it saturates.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 10
    rel_stepsize: Positive | None = None
    abs_stepsize: Positive | None = None
    loss: Loss = auto

    @property
    def usual_stepsize(self) -> float:
        return 1.25 / self.steps

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.steps + 2, self.steps

    def start(self, oracle: Oracle, **per_sample: Tensor) -> TowardState:
        return depart(oracle)

    def step(self, oracle: Oracle, state: TowardState, t: int) -> TowardState:
        return approach(oracle, state, self.loss, stepped(self, oracle, state.x))
