"""Combinators of attacks: restarts, cascades, stopping inside a ball."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from vauban.core.errors import BudgetSpent, ContractError, NoGradient
from vauban.core.norms import Ball, Norm
from vauban.core.parameters import Count
from vauban.engine.attack import AroundAttack, Attack, all_needs, shared_ball, strongest_need, total_passes
from vauban.engine.iterate import Steps, iterate
from vauban.engine.oracle import Oracle
from vauban.engine.result import Result, untouched

Want = Literal["success", "nearest"]


@dataclass(frozen=True)
class Restarts(AroundAttack):
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
    def passes(self) -> tuple[int, int] | None:
        return total_passes((self.attack,) * self.times)

    @property
    def minimises(self) -> bool:
        return self.want == "nearest" or self.attack.minimises

    def run(self, oracle: Oracle) -> Result:
        return sequence([(self.attack, oracle.fresh(r) if r else oracle) for r in range(self.times)], oracle, self.want)


@dataclass(frozen=True)
class Cascade(Attack):
    """Run several attacks one after the other on what is still standing; per sample the worst case.

    On a randomised model nothing is dropped at a lucky draw: every attack runs, and the image kept is the one that most
    answers of its closing check call adversarial. Where a network has no gradient, attacks that need one are passed over.

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

    def under(self, grants: frozenset[str], shape: Sequence[int]) -> Attack:
        """The cascade of the members that ask for no more; itself where none of them asks anything of the target."""
        if "gradients" in grants:
            return self
        members = [attack.under(grants, shape) for attack in self.attacks]
        left = tuple(attack for attack in members if all_needs(attack) <= grants)
        return replace(self, attacks=left) if any(all_needs(attack) for attack in left) else self

    def run(self, oracle: Oracle) -> Result:
        shape, places, start = oracle.domain.x0.shape[1:], [], 0
        for attack in self.attacks:
            places.append(range(start, start + len(attack.stages_on(shape))))
            start = places[-1].stop
        return sequence([(attack, oracle) for attack in self.attacks], oracle, self.want, places)


def sequence(
    runs: list[tuple[Attack, Oracle]], oracle: Oracle, want: Want, places: Sequence[range] | None = None
) -> Result:
    """Run attacks one after the other, each through an oracle of its own, on what is still standing.

    Args:
        runs: Pairs of an attack and an oracle on the same rows as `oracle`.
        oracle: The oracle whose rows are meant.
        want: As for `Cascade`.
        places: The stages of each run among those of the whole; None where all runs have the same ones.

    Returns:
        Per row the best result, with the costs of all runs.

    Raises:
        NoGradient: Every run that had rows to attack needs a gradient, and there is none; else the others go on.
    """
    total, refused, ran = untouched(oracle.domain.x0), None, False
    for i, (attack, own) in enumerate(runs):
        left = torch.ones_like(total.success) if want == "nearest" or oracle.threat.randomised else ~total.success
        index = left.nonzero().squeeze(1)
        if not len(index):
            break
        try:
            part = attack.run(own.rows(index))
        except BudgetSpent:
            break
        except NoGradient as error:
            refused = error
            continue
        first, ran = not ran, True
        if places is not None:
            part = replace(part, broken_by=_placed(part.broken_by, places[i]))
        mine = total.at(index)
        better = part.rate > mine.rate
        if want == "nearest":
            better = better | ((part.rate >= mine.rate) & (part.distance < mine.distance))
        if first:
            better = torch.ones_like(better)
        chosen = mine.choose(part, better)
        if not first:  # a nearer image of a row that is broken already was not what broke it
            chosen = replace(chosen, broken_by=torch.where(part.rate > mine.rate, part.broken_by, mine.broken_by))
        total = total.spread(index, chosen)
    if refused is not None and not ran:
        raise refused
    return total


def _placed(stage: Tensor, place: range) -> Tensor:
    """Stages as a run counts them, `(batch,)`, as the whole counts them; a run with a single stage need not say it."""
    if len(place) == 1:
        return torch.full_like(stage, place.start)
    said = (stage >= 0) & (stage < len(place))
    return torch.where(said, stage + place.start, -1)


@dataclass(frozen=True)
class StopInside(AroundAttack):
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
    def passes(self) -> tuple[int, int] | None:
        return self.attack.passes

    def run(self, oracle: Oracle) -> Result:
        return iterate(self.attack, oracle.confined(self.ball), stop="first", keep="first")
