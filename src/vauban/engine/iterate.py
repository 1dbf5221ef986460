"""The attack loop: `Steps` says what one step is, `iterate` runs all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor

from vauban.core.errors import BudgetSpent, ContractError
from vauban.core.parameters import Count
from vauban.core.tensors import like, take, waits, where
from vauban.engine.attack import Attack
from vauban.engine.oracle import Oracle
from vauban.engine.record import Keep
from vauban.engine.result import Result

S = TypeVar("S")
Stop = Literal["first", "never"]
"""Whether a row is dropped at its first success or runs to the end."""
Callback = Callable[[int, Oracle, Any], None]
"""Called as callback(t, oracle, state) after each step, with the rows that are left."""


@dataclass(frozen=True)
class Point:
    """State of an attack that remembers only where it is.

    Attributes:
        x: The iterate, `(batch, ...)`.
    """

    x: Tensor


class Steps(Attack, Generic[S]):
    """An attack that moves a whole batch one step at a time; subclasses are frozen dataclasses of hyper-parameters.

    The state is a frozen dataclass of batch-leading tensors, so that finished rows can be dropped.

    Attributes:
        steps: Number of steps.
        stop: "first" drops a row at its first success, "never" runs it to the end.
        keep: What `Result.crafted` is: the first success or the nearest one (else the last iterate), the iterate of
            highest loss, or the last iterate.
        per_sample: Names of the hyper-parameters that `start` takes with one value per sample, beside the radius "eps".
    """

    steps: Count
    stop: ClassVar[Stop] = "first"
    keep: ClassVar[Keep] = "first"
    per_sample: ClassVar[tuple[str, ...]] = ()

    @property
    def passes(self) -> tuple[int, int] | None:
        return self.steps + 1, self.steps

    @property
    def minimises(self) -> bool:
        return self.keep == "nearest"

    @property
    def one_step(self) -> bool:
        return self.steps == 1

    @abstractmethod
    def start(self, oracle: Oracle, **per_sample: Tensor) -> S:
        """First state.

        Args:
            oracle: Access to the networks for the rows under attack.
            per_sample: Hyper-parameters with one value per sample, `(batch,)` each, set by a search.
        """

    @abstractmethod
    def step(self, oracle: Oracle, state: S, t: int) -> S:
        """Next state.

        Args:
            oracle: Access to the networks for the rows that are left.
            state: The state of these rows, never changed in place.
            t: The number of the step, from 0.
        """

    def candidate(self, oracle: Oracle, state: S) -> Tensor:
        """Image that the attack would hand over now, `(batch, ...)`."""
        return state.x  # type: ignore[attr-defined, no-any-return]

    def run(self, oracle: Oracle) -> Result:
        return iterate(self, oracle)


def iterate(
    attack: Steps[Any],
    oracle: Oracle,
    *,
    stop: Stop | None = None,
    keep: Keep | None = None,
    query_each: bool = False,
    close: bool = True,
    callback: Callback | None = None,
    per_sample: Mapping[str, Tensor] | None = None,
) -> Result:
    """Run a step attack to its end.

    Args:
        attack: The attack.
        oracle: Access to the networks for the rows to attack.
        stop, keep: As on the attack, which they override.
        query_each: Ask for the label of every iterate (for attacks that never see the target's logits).
        close: Judge the last image of the rows that have not succeeded. Without it, success is what was seen on the
            way.
        callback: Called after each step.
        per_sample: Hyper-parameters with one value per row, `(batch,)` each. "eps" replaces the radius of the attack's
            ball, others are handed to `start`.

    Returns:
        The result of each row. A row whose query budget is spent ends with what it has.

    Raises:
        ContractError: A hyper-parameter in `per_sample` that the attack does not take.
    """
    stop, keep, confirm = stop or attack.stop, keep or attack.keep, oracle.threat.confirm
    if keep == "first" and not (oracle.threat.direct or oracle.threat.randomised or confirm):
        keep = "loss"  # transfer: no iterate is known to succeed, the one of highest loss is handed over
    whole, given = _confined(attack, oracle, per_sample or {})
    whole = whole.recording(keep, attack.norm)
    before = whole.forwards.clone(), whole.backwards.clone()
    last = whole.domain.x0.clone()
    rate = torch.zeros(len(whole), dtype=torch.float64, device=last.device)
    left, state = _start(attack, whole, given)
    for t in range(attack.steps):
        moved = None
        while len(left) and moved is None:
            try:
                moved = attack.step(left, state, t)
                if query_each or confirm:
                    left.reached(attack.candidate(left, moved))
            except BudgetSpent:
                moved, solvent = None, _solvent(left)
                left.scatter(last, left.domain.quantise(attack.candidate(left, state)))
                left, state = left.rows(solvent), take(state, solvent)
        if moved is None:
            break
        state = moved
        if callback is not None:
            callback(t, left, state)
        if stop == "first" and _worth_checking(t, last) and bool((done := left.succeeded).any()):
            rows = (~done).nonzero().squeeze(1)  # once: as a mask it would be read for every tensor
            left, state = left.rows(rows), take(state, rows)
            if not len(left):
                break
    if len(left):
        left.scatter(last, left.domain.quantise(attack.candidate(left, state)))
    if stop == "first":
        last = where(whole.succeeded, whole.best, last)
    if close:
        standing = (torch.ones_like(whole.succeeded) if stop == "never" else ~whole.succeeded).nonzero().squeeze(1)
        if len(standing):
            _close(whole.rows(standing), last[standing], rate)
    return _result(whole, last, rate, keep, before)


def _confined(attack: Steps[Any], oracle: Oracle, per_sample: Mapping[str, Tensor]) -> tuple[Oracle, dict[str, Tensor]]:
    """Oracle inside the attack's ball, and what `start` is handed."""
    given = dict(per_sample)
    radius = given.pop("eps", None)
    name = type(attack).__name__
    if radius is not None and attack.ball is None:
        raise ContractError(f"expected an attack inside a ball to set 'eps' per sample, got {name}")
    if unknown := sorted(set(given) - set(attack.per_sample)):
        raise ContractError(
            f"expected a parameter that {name} takes per sample {attack.per_sample}, got {unknown[0]!r}"
        )
    return (oracle if attack.ball is None else oracle.confined(attack.ball, radius)), given


def _start(attack: Steps[Any], left: Oracle, per_sample: Mapping[str, Tensor]) -> tuple[Oracle, Any]:
    """First state of the rows whose budget allows for one, and these rows."""
    while len(left):
        try:
            return left, attack.start(left, **per_sample)
        except BudgetSpent:
            solvent = _solvent(left)
            left = left.rows(solvent)
            per_sample = {name: value[solvent] for name, value in per_sample.items()}
    return left, None


def _solvent(left: Oracle) -> Tensor:
    """Rows to go on with after a call was refused: those that have spent less than the others."""
    return left.forwards < left.forwards.max()


def _worth_checking(t: int, x: Tensor) -> bool:
    """Whether to ask which rows are finished; an accelerator waits for the answer, so there every fourth step."""
    return not waits(x) or t % 4 == 3


def _close(standing: Oracle, image: Tensor, rate: Tensor) -> None:
    """Check the last image of the rows that are left; where the oracle could not record, the check decides."""
    best = standing.record
    if best.top is not None and not standing.threat.direct:  # the crafted image is the one of highest loss
        seen = best.top_loss[standing._slot] > -torch.inf
        image = torch.where(like(seen, image), best.top[standing._slot], image)
    share = standing.check(image)
    standing.scatter(rate, share)
    best.offer(standing._slot, image, standing.domain.x0, share > 0.5, standing.backwards, distinct=True)


def _result(whole: Oracle, last: Tensor, rate: Tensor, keep: Keep, before: tuple[Tensor, Tensor]) -> Result:
    best = whole.record
    crafted = last
    if keep in ("first", "nearest"):
        crafted = torch.where(like(best.success, last), best.image, last)
    elif best.top is not None:
        crafted = torch.where(like(best.top_loss > -torch.inf, last), best.top, last)
    if not whole.threat.randomised:
        rate = best.success.double()
    return Result(
        crafted=crafted,
        adversarial=torch.where(like(rate > 0.5, last), best.image, whole.domain.x0),
        rate=rate,
        distance=torch.where(rate > 0.5, best.distance, torch.inf),
        forwards=whole.forwards - before[0],
        backwards=whole.backwards - before[1],
        first=torch.where(best.cost >= 0, best.cost - before[1], best.cost),
    )
