"""Penalty search: attacks that weigh a loss by a constant c, searched per sample. Carlini and Wagner 2017
(arXiv:1608.04644)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor

from vauban.core.goals import ResolvedGoal
from vauban.core.losses import margin
from vauban.core.norms import L2, Norm
from vauban.core.parameters import Count, NonNegative, Range
from vauban.engine import Attack, Bisection, Oracle, Result, Steps

LARGEST = 1e10
Constant = Annotated[float, Range(0, LARGEST, open_low=True)]
"""A constant at which the search begins; it never exceeds `LARGEST`."""


@dataclass(frozen=True)
class ConfidentGoal(ResolvedGoal):
    """Goal that is reached only with a margin of at least kappa."""

    kappa: float = 0.0

    def reached(self, logits: Tensor) -> Tensor:
        return super().reached(logits) & (margin(logits, self) >= self.kappa)


def confident(oracle: Oracle, kappa: float) -> Oracle:
    """The same oracle, where success asks for a margin of kappa."""
    return oracle.with_goal(ConfidentGoal(**vars(oracle.goal), kappa=kappa)) if kappa > 0 else oracle


class PenaltySearch(Attack):
    """Attack of some steps for each of several constants: from `c`, times 10 while nothing succeeds, then by bisection.

    The fields are those of the attacks, which are dataclasses and have them in an order of their own.

    Attributes:
        search_steps: Constants that are tried.
        steps: Steps for each.
        c: The first constant.
        kappa: Margin that a success must have.
    """

    search_steps: Count
    steps: Count
    c: Constant
    kappa: NonNegative = 0.0

    @abstractmethod
    def inner(self, oracle: Oracle) -> Steps[Any]:
        """The attack at one constant per sample, its hyper-parameter "c"."""

    @property
    def norm(self) -> Norm:
        return L2

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.search_steps * (self.steps + 1), self.search_steps * self.steps

    def run(self, oracle: Oracle) -> Result:
        oracle = confident(oracle, self.kappa)
        return Bisection(self.inner(oracle), "c", self.c, self.search_steps, largest=LARGEST).run(oracle)
