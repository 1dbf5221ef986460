"""Bisection of a per-sample parameter of a step attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch

from vauban.core.errors import BudgetSpent
from vauban.core.parameters import Count, Positive, Range
from vauban.engine.attack import AroundAttack, total_passes
from vauban.engine.iterate import Steps, iterate
from vauban.engine.oracle import Oracle
from vauban.engine.result import Result, untouched

Growth = Annotated[float, Range(1, open_low=True)]


@dataclass(frozen=True)
class Bisection(AroundAttack):
    """Smallest value of a per-sample parameter of a step attack at which it succeeds, by bisection.

    A larger value makes success easier: the weight of the loss in Carlini and Wagner, the radius ("eps") of an attack
    at a fixed budget. While no success is known the value is multiplied by `growth`; then the interval between the
    largest failure and the smallest success is halved. The nearest success of all runs is kept.

    Attributes:
        attack: The attack that is run at each value.
        parameter: The parameter that is searched.
        start: Its first value.
        rounds: Runs of the attack.
        growth: Factor while nothing succeeds.
        largest: Bound on the value.
    """

    attack: Steps[Any]
    parameter: str = "eps"
    start: Positive = 1.0
    rounds: Count = 9
    growth: Growth = 10.0
    largest: Annotated[float, Range(0, open_low=True, infinite=True)] = float("inf")

    @property
    def passes(self) -> tuple[int, int] | None:
        return total_passes((self.attack,) * self.rounds)

    @property
    def minimises(self) -> bool:
        return True

    def run(self, oracle: Oracle) -> Result:
        x0 = oracle.domain.x0
        value = torch.full((len(oracle),), self.start, dtype=x0.dtype, device=x0.device)
        low, high = torch.zeros_like(value), torch.full_like(value, torch.inf)
        total = untouched(x0)
        for r in range(self.rounds):
            try:
                part = iterate(self.attack, oracle.fresh(r) if r else oracle, per_sample={self.parameter: value})
            except BudgetSpent:
                break
            better = (part.success & ~total.success) | (part.success & (part.distance < total.distance))
            total = total.choose(part, better if r else torch.ones_like(better))
            low, high = torch.where(part.success, low, value), torch.where(part.success, value, high)
            value = torch.where(high.isinf(), low * self.growth, (low + high) / 2).clamp_max(self.largest)
        return total
