"""Combinators of attacks: restarts, cascades, bisection of a per-sample parameter, stopping inside a ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch

from vauban.core.errors import BudgetSpent, ContractError
from vauban.core.norms import Ball, Norm
from vauban.core.parameters import Count, Positive, Range
from vauban.engine.attack import Attack, shared_ball, strongest_need, total_passes
from vauban.engine.iterate import Steps, iterate
from vauban.engine.oracle import Oracle
from vauban.engine.result import Result, untouched

Want = Literal["success", "nearest"]
Growth = Annotated[float, Range(1, open_low=True)]


@dataclass(frozen=True)
class Restarts(Attack):
    """Run an attack several times with fresh random numbers.

    Attributes:
        attack: The attack to repeat.
        times: Number of runs.
        want: "success" repeats only the rows that still stand; "nearest" repeats all and keeps the smallest distance.
    """

    attack: Attack
    times: Count = 5
    want: Want = "success"

    @property
    def ball(self) -> Ball | None:  # type: ignore[override]
        return self.attack.ball

    @property
    def norm(self) -> Norm:
        return self.attack.norm

    @property
    def needs(self) -> str:  # type: ignore[override]
        return self.attack.needs

    @property
    def passes(self) -> tuple[int, int] | None:
        return total_passes((self.attack,) * self.times)

    @property
    def minimises(self) -> bool:
        return self.want == "nearest" or self.attack.minimises

    @property
    def members(self) -> tuple[Attack, ...]:
        return (self.attack,)

    def run(self, oracle: Oracle) -> Result:
        return sequence([(self.attack, oracle.fresh(r) if r else oracle) for r in range(self.times)], oracle, self.want)


@dataclass(frozen=True)
class Cascade(Attack):
    """Run several attacks one after the other on what is still standing; per sample the worst case.

    On a randomised model nothing is dropped at a lucky draw: every attack runs, and the image kept is the one that most
    answers of its closing check call adversarial.

    Attributes:
        attacks: The attacks in the order in which they run.
        want: "success" is for attacks at a fixed budget; "nearest" runs every attack on every row and keeps the
            smallest distance.

    Raises:
        ContractError: No attack, or attacks measured in different norms with want="nearest".
    """

    attacks: tuple[Attack, ...]
    want: Want = "success"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.attacks:
            raise ContractError("expected at least one attack in a cascade, got none")
        norms = {str(attack.norm) for attack in self.attacks}
        if self.want == "nearest" and len(norms) > 1:
            raise ContractError(f"expected attacks measured in one norm to keep the nearest, got {sorted(norms)}")

    @property
    def ball(self) -> Ball | None:  # type: ignore[override]
        return shared_ball(self.attacks)

    @property
    def norm(self) -> Norm:
        return self.attacks[0].norm

    @property
    def needs(self) -> str:  # type: ignore[override]
        return strongest_need(self.attacks)

    @property
    def passes(self) -> tuple[int, int] | None:
        return total_passes(self.attacks)

    @property
    def minimises(self) -> bool:
        return self.want == "nearest"

    @property
    def members(self) -> tuple[Attack, ...]:
        return self.attacks

    def run(self, oracle: Oracle) -> Result:
        return sequence([(attack, oracle) for attack in self.attacks], oracle, self.want)


def sequence(runs: list[tuple[Attack, Oracle]], oracle: Oracle, want: Want) -> Result:
    """Run attacks one after the other, each through an oracle of its own, on what is still standing.

    Args:
        runs: Pairs of an attack and an oracle on the same rows as `oracle`.
        oracle: The oracle whose rows are meant.
        want: As for `Cascade`.

    Returns:
        Per row the best result, with the costs of all runs.
    """
    total = untouched(oracle.domain.x0)
    for i, (attack, own) in enumerate(runs):
        left = torch.ones_like(total.success) if want == "nearest" or oracle.threat.randomised else ~total.success
        index = left.nonzero().squeeze(1)
        if not len(index):
            break
        try:
            part = attack.run(own.rows(index))
        except BudgetSpent:
            break
        mine = total.at(index)
        better = part.rate > mine.rate
        if want == "nearest":
            better = better | ((part.rate >= mine.rate) & (part.distance < mine.distance))
        if i == 0:
            better = torch.ones_like(better)
        total = total.spread(index, mine.choose(part, better))
    return total


@dataclass(frozen=True)
class Bisection(Attack):
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
    def norm(self) -> Norm:
        return self.attack.norm

    @property
    def needs(self) -> str:  # type: ignore[override]
        return self.attack.needs

    @property
    def passes(self) -> tuple[int, int] | None:
        return total_passes((self.attack,) * self.rounds)

    @property
    def minimises(self) -> bool:
        return True

    @property
    def members(self) -> tuple[Attack, ...]:
        return (self.attack,)

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


@dataclass(frozen=True)
class StopInside(Attack):
    """A step attack that looks for the nearest image, stopped at its first success inside a ball.

    Attributes:
        attack: The attack.
        ball: The budget.
    """

    attack: Steps[Any]
    ball: Ball

    @property
    def norm(self) -> Norm:
        return self.ball.norm

    @property
    def needs(self) -> str:  # type: ignore[override]
        return self.attack.needs

    @property
    def passes(self) -> tuple[int, int] | None:
        return self.attack.passes

    @property
    def members(self) -> tuple[Attack, ...]:
        return (self.attack,)

    def run(self, oracle: Oracle) -> Result:
        return iterate(self.attack, oracle.confined(self.ball), stop="first", keep="first")
