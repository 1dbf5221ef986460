"""Outer loops as values: restarts, cascades, and one search for every per-sample knob."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from vauban.core.errors import BudgetSpent, ContractError
from vauban.core.norms import L2, Ball
from vauban.engine.ask import Ask
from vauban.engine.iterate import Attack, Steps, iterate, run
from vauban.engine.result import Result, untouched


def measure_of(attack: Any) -> Any:
    """The norm an attack's distance is measured in."""
    return getattr(attack, "measure", L2)


@dataclass(frozen=True)
class Restarts:
    """Run an attack `times` times with fresh random numbers.

    want="success" only repeats the rows that still stand; want="nearest" repeats all and keeps the smallest distance.
    """

    attack: Attack
    times: int = 5
    want: Literal["success", "nearest"] = "success"

    def __post_init__(self) -> None:
        if self.times < 1:
            raise ContractError(f"expected times >= 1, got {self.times}")

    @property
    def measure(self) -> Any:
        return measure_of(self.attack)

    def run(self, ask: Ask) -> Result:
        return sequence([(self.attack, ask.fresh(r) if r else ask) for r in range(self.times)], ask, self.want)


@dataclass(frozen=True)
class Cascade:
    """Run several attacks one after the other on what is still standing; per sample the worst case.

    want="success" is for attacks at a fixed budget; want="nearest" runs every attack on every row and keeps the smallest
    distance. On a randomised model nothing is dropped at a lucky draw: every attack runs, and the image kept is the one
    that most answers of its closing check call adversarial.
    """

    attacks: tuple[Attack, ...]
    want: Literal["success", "nearest"] = "success"

    def __post_init__(self) -> None:
        if not self.attacks:
            raise ContractError("expected at least one attack in a cascade, got none")
        norms = {str(measure_of(attack)) for attack in self.attacks}
        if self.want == "nearest" and len(norms) > 1:
            raise ContractError(f"expected attacks measured in one norm to keep the nearest, got {sorted(norms)}")

    @property
    def measure(self) -> Any:
        return measure_of(self.attacks[0])

    def run(self, ask: Ask) -> Result:
        return sequence([(attack, ask) for attack in self.attacks], ask, self.want)


def sequence(runs: list[tuple[Attack, Ask]], ask: Ask, want: str) -> Result:
    """Run each attack through its own view of the door `ask` on what is still standing; per sample the best result."""
    total = untouched(ask.x0)
    for i, (attack, view) in enumerate(runs):
        left = torch.ones_like(total.success) if want == "nearest" or ask.threat.randomised else ~total.success
        index = left.nonzero().squeeze(1)
        if not len(index):
            break
        try:
            part = run(attack, view.rows(index))
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
class Search:
    """Per-sample bisection of one knob of a step attack: the smallest value at which the attack succeeds.

    A larger knob makes success easier: the weight of the loss in Carlini and Wagner, the radius (knob "eps") of an attack
    at a fixed budget. While no success is known the knob is multiplied by `growth`; then the interval between the largest
    failure and the smallest success is halved. `rounds` runs of the attack; the nearest success of all of them is kept.
    """

    attack: Steps[Any]
    knob: str
    start: float
    rounds: int = 9
    growth: float = 10.0
    largest: float = float("inf")

    def __post_init__(self) -> None:
        if self.start <= 0 or self.growth <= 1 or self.rounds < 1:
            raise ContractError(
                f"expected start > 0, growth > 1 and rounds >= 1, got {self.start}, {self.growth}, {self.rounds}"
            )

    @property
    def measure(self) -> Any:
        return self.attack.measure

    def run(self, ask: Ask) -> Result:
        value = torch.full((len(ask),), self.start, dtype=ask.x0.dtype, device=ask.x0.device)
        low, high = torch.zeros_like(value), torch.full_like(value, torch.inf)
        total = untouched(ask.x0)
        for r in range(self.rounds):
            try:
                part = iterate(self.attack, ask.fresh(r) if r else ask, knobs={self.knob: value})
            except BudgetSpent:
                break
            better = (part.success & ~total.success) | (part.success & (part.distance < total.distance))
            total = total.choose(part, better if r else torch.ones_like(better))
            low, high = torch.where(part.success, low, value), torch.where(part.success, value, high)
            value = torch.where(high.isinf(), low * self.growth, (low + high) / 2).clamp_max(self.largest)
        return total


@dataclass(frozen=True)
class Within:
    """A step attack that looks for the nearest image, used at a fixed budget: it stops at the first success in `ball`."""

    attack: Steps[Any]
    ball: Ball

    @property
    def measure(self) -> Any:
        return self.ball.norm

    def run(self, ask: Ask) -> Result:
        return iterate(self.attack, ask.confined(self.ball), stop="first", keep="first")
