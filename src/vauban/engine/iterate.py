"""The loop. Every step attack goes through `iterate`; `run` is the only entry that others use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from vauban.core.errors import BudgetSpent, ContractError
from vauban.core.norms import L2, Ball, Norm
from vauban.core.tensors import like, take, where
from vauban.engine.ask import Ask
from vauban.engine.result import Result

S = TypeVar("S")
Stop = Literal["first", "never"]
Keep = Literal["first", "nearest", "loss", "last"]
Callback = Callable[[int, Ask, Any], None]


@dataclass(frozen=True)
class Point:
    """The state of an attack that remembers only where it is."""

    x: Tensor


class Steps(ABC, Generic[S]):
    """An attack that moves a whole batch one step at a time; subclasses are frozen dataclasses of hyper-parameters.

    The state is a frozen dataclass of batch-leading tensors, so that finished rows can be dropped. stop="first" drops a
    row at its first success, stop="never" runs it to the end. keep says what `Result.crafted` is: the first success or
    the nearest one (else the last iterate), the iterate of highest loss, or the last iterate.
    """

    steps: int
    stop: ClassVar[Stop] = "first"
    keep: ClassVar[Keep] = "first"
    knobs: ClassVar[tuple[str, ...]] = ()  # what `start` takes per sample from a search, beside the radius "eps"

    @property
    def measure(self) -> Norm:
        """The norm in which the run's distance is measured."""
        ball = getattr(self, "ball", None)
        return ball.norm if isinstance(ball, Ball) else L2

    @abstractmethod
    def start(self, ask: Ask, **knobs: Tensor) -> S:
        """The first state; `knobs` are per-sample hyper-parameters set by a search."""

    @abstractmethod
    def step(self, ask: Ask, state: S, t: int) -> S:
        """The next state. The state given is never changed in place."""

    def candidate(self, ask: Ask, state: S) -> Tensor:
        """The image that the attack would hand over now."""
        return state.x  # type: ignore[attr-defined, no-any-return]


@runtime_checkable
class Runs(Protocol):
    """An attack with an outer loop of its own: combinators, Carlini-Wagner L0, a battery."""

    def run(self, ask: Ask) -> Result: ...


Attack = Steps[Any] | Runs


def run(attack: Attack, ask: Ask) -> Result:
    """Run an attack through the door: the only entry that evaluations, defences and combinators use."""
    if isinstance(attack, Steps):
        return iterate(attack, ask)
    return attack.run(ask)


def iterate(
    attack: Steps[Any], ask: Ask, *, stop: Stop | None = None, keep: Keep | None = None, query_each: bool = False,
    callback: Callback | None = None, knobs: Mapping[str, Tensor] | None = None,
) -> Result:  # fmt: skip
    """Run a step attack to its end.

    query_each asks for the label of every iterate (for attacks that never see the target's logits); a knob named "eps"
    replaces the radius of the attack's ball, other knobs are handed to `start`. callback(t, ask, state) after each step.
    """
    stop, keep, confirm = stop or attack.stop, keep or attack.keep, ask.threat.confirm
    if keep == "first" and not (ask.threat.direct or ask.threat.randomised or confirm):
        keep = "loss"  # transfer: no iterate is known to succeed, the one of highest loss is handed over
    ball = getattr(attack, "ball", None)
    knobs = dict(knobs or {})
    radius = knobs.pop("eps", None)
    if radius is not None and ball is None:
        raise ContractError(f"expected an attack inside a ball for the knob 'eps', got {type(attack).__name__}")
    if unknown := sorted(set(knobs) - set(attack.knobs)):
        raise ContractError(f"expected a knob that {type(attack).__name__} takes ({attack.knobs}), got {unknown[0]!r}")
    whole = (ask if ball is None else ask.confined(ball, radius)).recording(keep, attack.measure)
    before = whole.ledger.forwards[whole._row].clone(), whole.ledger.cost(whole._row).clone()
    last = whole.x0.clone()
    rate = torch.zeros(len(whole), dtype=torch.float64, device=last.device)
    view, state = _start(attack, whole, knobs)
    for t in range(attack.steps):
        moved = None
        while len(view) and moved is None:
            try:
                moved = attack.step(view, state, t)
                if query_each or confirm:
                    view.reached(attack.candidate(view, moved))
            except BudgetSpent:
                moved, left = None, _solvent(view)
                last[view._slot] = view.snap(attack.candidate(view, state))
                view, state = view.rows(left), take(state, left)
        if moved is None:
            break
        state = moved
        if callback is not None:
            callback(t, view, state)
        if stop == "first" and _worth_checking(t, last) and bool((done := view.done).any()):
            view, state = view.rows(~done), take(state, ~done)
            if not len(view):
                break
    if len(view):
        last[view._slot] = view.snap(attack.candidate(view, state))
    if stop == "first":
        last = where(whole.done, whole.best, last)
    standing = (torch.ones_like(whole.done) if stop == "never" else ~whole.done).nonzero().squeeze(1)
    if len(standing):
        _close(whole.rows(standing), last[standing], rate)
    return _result(whole, last, rate, keep, before)


def _start(attack: Steps[Any], view: Ask, knobs: Mapping[str, Tensor]) -> tuple[Ask, Any]:
    """The first state of the rows whose budget allows for one."""
    while len(view):
        try:
            return view, attack.start(view, **knobs)
        except BudgetSpent:
            left = _solvent(view)
            view, knobs = view.rows(left), {name: value[left] for name, value in knobs.items()}
    return view, None


def _solvent(view: Ask) -> Tensor:
    """The rows to go on with after a call was refused: those that have spent less than the others."""
    return view.spent < view.spent.max()


def _worth_checking(t: int, x: Tensor) -> bool:
    """Asking whether rows are finished waits for an accelerator; there, ask every fourth step."""
    return x.device.type == "cpu" or t % 4 == 3


def _close(view: Ask, image: Tensor, rate: Tensor) -> None:
    """Check the last image of the rows that are left; where the door could not record, the check decides."""
    assert view.finds is not None
    if view.finds.top is not None and not view.threat.direct:  # the crafted image is the one of highest loss
        seen = view.finds.top_loss[view._slot] > -torch.inf
        image = torch.where(like(seen, image), view.finds.top[view._slot], image)
    share = view.check(image)
    rate[view._slot] = share
    cost = view.ledger.cost(view._row)
    view.finds.offer(view._slot, image, view.x0, share > 0.5, cost, distinct=True)


def _result(whole: Ask, last: Tensor, rate: Tensor, keep: Keep, before: tuple[Tensor, Tensor]) -> Result:
    finds = whole.finds
    assert finds is not None
    crafted = last
    if keep in ("first", "nearest"):
        crafted = torch.where(like(finds.found, last), finds.image, last)
    elif finds.top is not None:
        crafted = torch.where(like(finds.top_loss > -torch.inf, last), finds.top, last)
    if not whole.threat.randomised:
        rate = finds.found.double()
    return Result(
        crafted=crafted,
        adversarial=torch.where(like(rate > 0.5, last), finds.image, whole.x0),
        rate=rate,
        distance=torch.where(rate > 0.5, finds.distance, torch.inf),
        forwards=whole.ledger.forwards[whole._row] - before[0],
        backwards=whole.ledger.cost(whole._row) - before[1],
        first=torch.where(finds.cost >= 0, finds.cost - before[1], finds.cost),
    )
