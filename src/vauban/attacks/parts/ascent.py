"""What attacks have in common that take one gradient per step, where they are, and move by it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, TypeVar

from torch import Tensor

from vauban.core.losses import Loss
from vauban.engine import Oracle, Steps


class Somewhere(Protocol):
    @property
    def x(self) -> Tensor: ...


S = TypeVar("S", bound=Somewhere)


class Ascent(Steps[S]):
    """A step is the gradient of `loss` at `state.x` and a move, which is handed that gradient or another direction."""

    loss: Loss

    def step(self, oracle: Oracle, state: S, t: int) -> S:
        logits, (g,) = oracle.gradient(state.x, self.loss)
        return self.move(oracle, state, t, logits, g)

    @abstractmethod
    def move(self, oracle: Oracle, state: S, t: int, logits: Tensor, g: Tensor) -> S:
        """The next state, from the logits `(batch, classes)` at `state.x` and a direction g `(batch, ...)` of ascent."""
