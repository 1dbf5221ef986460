"""Ascent: attacks that take one gradient per step, where they are, and move by it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, TypeVar

from torch import Tensor

from vauban.core.losses import Loss
from vauban.engine import Oracle, Steps


class PointState(Protocol):
    """State with the images x `(batch, ...)` at which the next gradient is taken."""

    @property
    def x(self) -> Tensor: ...


S = TypeVar("S", bound=PointState)


class Ascent(Steps[S]):
    """Attack whose step is the gradient of the loss at `state.x`, then a move along that or another direction.

    Attributes:
        loss: The loss that is increased.
    """

    loss: Loss

    def step(self, oracle: Oracle, state: S, t: int) -> S:
        logits, (g,) = oracle.gradient(state.x, self.loss)
        return self.move(oracle, state, t, logits, g)

    @abstractmethod
    def move(self, oracle: Oracle, state: S, t: int, logits: Tensor, g: Tensor) -> S:
        """Next state.

        Args:
            oracle: Access to the networks for the rows that are left.
            state: The state of these rows, never changed in place.
            t: Number of the step, from 0.
            logits: At `state.x`, `(batch, classes)`.
            g: Direction of ascent, `(batch, ...)`.
        """
