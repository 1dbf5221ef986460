"""What attacks share that weigh a loss by a constant c, searched per sample: Carlini and Wagner 2017 (arXiv:1608.04644)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vauban.core.goals import Aim
from vauban.core.losses import margin
from vauban.core.norms import L2, Norm
from vauban.engine import Ask, Result, Search, Steps


@dataclass(frozen=True)
class Confident(Aim):
    """The goal is reached only with a margin of at least kappa."""

    kappa: float = 0.0

    def reached(self, logits: Tensor) -> Tensor:
        return super().reached(logits) & (margin(logits, self) >= self.kappa)


def confident(ask: Ask, kappa: float) -> Ask:
    """The same door, where success asks for a margin of kappa."""
    return ask.aimed(Confident(**vars(ask.aim), kappa=kappa)) if kappa > 0 else ask


class Constants(ABC):
    """An attack of `steps` steps for each of `search_steps` constants: from `c`, times 10 while nothing succeeds, then by
    bisection. The fields are those of the attacks, which are dataclasses and have them in an order of their own."""

    search_steps: int
    steps: int
    c: float
    kappa: float = 0.0

    @abstractmethod
    def inner(self, ask: Ask) -> Steps[Any]:
        """The attack at one constant per sample, its knob "c"."""

    @property
    def measure(self) -> Norm:
        return L2

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.search_steps * (self.steps + 1), self.search_steps * self.steps

    def run(self, ask: Ask) -> Result:
        ask = confident(ask, self.kappa)
        return Search(self.inner(ask), "c", self.c, self.search_steps, largest=1e10).run(ask)
