"""Goals of an attacker: `Untargeted`, `Targeted`, `LeastLikely`, `RandomWrong`.

A goal is declared without labels and resolved once per batch into `ResolvedGoal`, which holds them: the labels never change
afterwards. A sample whose own label is the target has nothing to reach: it counts neither for nor against an attack.
Where the last logit column means 'rejected' a goal is resolved without it, so no target is ever that column, and a rejected
image never counts as adversarial.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from vauban.core.answers import predicted
from vauban.core.arguments import P, named_arguments
from vauban.core.errors import ContractError, plural, short
from vauban.core.parameters import Parameters, Whole
from vauban.core.rng import Stream


@dataclass(frozen=True)
class ResolvedGoal:
    """A goal bound to the labels of one batch.

    Attributes:
        y: True labels, int64 `(batch,)`.
        target: The wanted labels, int64 `(batch,)`; None when untargeted.
        rejects: Whether the last logit column means 'rejected', which is never a success.
        toward: The class the losses move toward, int64 `(batch,)`, while `reached` is unchanged: for untargeted attacks
            that proceed class by class.
        reference: Logits of the clean images, `(batch, classes)`, for a loss that compares with them (`losses.divergence`).
    """

    y: Tensor
    target: Tensor | None = None
    rejects: bool = False
    toward: Tensor | None = None
    reference: Tensor | None = None

    @property
    def heading(self) -> Tensor | None:
        """The class the losses move toward, `(batch,)`: `toward`, else `target`; None: they move away from y."""
        return self.target if self.toward is None else self.toward

    @property
    def aims(self) -> Tensor:
        """Whether a sample has something to reach, `(batch,)`: its own label is not the target."""
        return torch.ones_like(self.y, dtype=torch.bool) if self.target is None else self.target != self.y

    def rows(self, index: Tensor) -> ResolvedGoal:
        """The goal of some samples of the batch."""
        labels = (self.target, self.toward, self.reference)
        target, toward, reference = (None if value is None else value[index] for value in labels)
        return replace(self, y=self.y[index], target=target, toward=toward, reference=reference)

    def wrong_classes(self, logits: Tensor) -> Tensor:
        """Every class but y and 'rejected', least likely first, int64 `(batch, classes - 1)` (- 2 with `rejects`)."""
        order = (logits[:, :-1] if self.rejects else logits).argsort(stable=True, dim=1)
        wrong = order != self.y[:, None]
        return order.masked_select(wrong).view(len(order), -1)

    def reached(self, logits: Tensor) -> Tensor:
        """Whether the answer is what the attacker wants, `(batch,)`, as `predicted` reads it from logits."""
        return self.reached_by(predicted(logits), logits.shape[1])

    def reached_by(self, label: Tensor, classes: int) -> Tensor:
        """Whether predicted labels `(batch,)` are what the attacker wants, `(batch,)`."""
        if self.target is not None:
            return (label == self.target) & self.aims
        wrong = label != self.y
        return wrong & ~self.rejected(label, classes) if self.rejects else wrong

    def rejected(self, label: Tensor, classes: int) -> Tensor:
        """Whether predicted labels `(batch,)` are 'rejected', the last of the columns, `(batch,)`."""
        return label == classes - 1 if self.rejects else torch.zeros_like(label, dtype=torch.bool)


def of_goal(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Decorator of a loss: labels in the place of the goal are told in one line. A call that succeeds pays nothing."""
    called = named_arguments(loss)

    @functools.wraps(loss)
    def asked(*args: P.args, **given: P.kwargs) -> Tensor:
        try:
            return called(*args, **given)
        except AttributeError:
            goal = given.get("goal", args[1] if len(args) > 1 else None)
            if isinstance(goal, ResolvedGoal):
                raise
            raise ContractError(
                f"expected a goal of {loss.__name__}(logits, goal), got {short(goal)}; labels stand in one: "
                "vauban.core.goals.ResolvedGoal(labels)"
            ) from None

    return asked


class Goal(Protocol):
    """What a goal offers, before it knows the labels of a batch."""

    @property
    def needs_logits(self) -> bool:
        """Whether `resolve` needs the logits of the clean images, which are counted as one query."""
        ...

    def resolve(self, y: Tensor, logits: Tensor | None, classes: int, rng: Stream) -> ResolvedGoal:
        """Bind the goal to a batch.

        Args:
            y: True labels, int64 `(batch,)`.
            logits: Clean logits `(batch, classes)` where `needs_logits` is set, else None.
            classes: Number of classes; a last column that means 'rejected' is none and not in the logits.
            rng: Random numbers of the batch's samples.
        """
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Untargeted(Parameters):
    """Any label but the true one, and but 'rejected' where the network has that.

    Attributes:
        rejects: The last logit means 'rejected', for a network without a card that says so.
    """

    needs_logits = False
    rejects: bool = False

    def resolve(self, y: Tensor, logits: Tensor | None, classes: int, rng: Stream) -> ResolvedGoal:
        return ResolvedGoal(y, rejects=self.rejects)

    def __str__(self) -> str:
        return "untargeted"


@dataclass(frozen=True, eq=False)
class Targeted(Parameters):
    """A given label: one for all samples, or int64 `(batch,)`. `resolve` raises ContractError where it is no class."""

    needs_logits = False
    target: Whole | Tensor = 0

    def resolve(self, y: Tensor, logits: Tensor | None, classes: int, rng: Stream) -> ResolvedGoal:
        target = torch.as_tensor(self.target, device=y.device)
        if target.dtype != torch.int64 or target.shape not in ((), y.shape):
            raise ContractError(
                f"expected one int64 target or one for each of {plural(len(y), 'sample')}, got {target.dtype} "
                f"of shape {tuple(target.shape)}"
            )
        self.check_class(classes)
        return ResolvedGoal(y, target.expand_as(y).clone())

    def check_class(self, classes: int) -> None:
        """Raises ContractError where a target is none of so many classes."""
        target = torch.as_tensor(self.target)
        if not target.numel():
            return
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= classes:
            got = low if low == high else f"[{low}, {high}]"
            raise ContractError(f"expected a target in [0, {classes - 1}], got {got}")

    def __str__(self) -> str:
        return f"targeted:{self.target if isinstance(self.target, int) else 'given'}"


def goal_of(goal: Goal, rows: Tensor) -> Goal:
    """The goal of some samples of a batch: one label for each is narrowed to them."""
    if isinstance(goal, Targeted) and isinstance(goal.target, Tensor) and goal.target.dim():
        return Targeted(goal.target[rows])
    return goal


@dataclass(frozen=True)
class LeastLikely(Parameters):
    """The class with the smallest logit on the clean image (never the true one)."""

    needs_logits = True

    def resolve(self, y: Tensor, logits: Tensor | None, classes: int, rng: Stream) -> ResolvedGoal:
        assert logits is not None
        return ResolvedGoal(y, ResolvedGoal(y).wrong_classes(logits)[:, 0])

    def __str__(self) -> str:
        return "least-likely"


@dataclass(frozen=True)
class RandomWrong(Parameters):
    """A class drawn uniformly among the wrong ones, the same for a sample in every batch."""

    needs_logits = False

    def resolve(self, y: Tensor, logits: Tensor | None, classes: int, rng: Stream) -> ResolvedGoal:
        return ResolvedGoal(y, (y + 1 + rng.integers("target", classes - 1)) % classes)

    def __str__(self) -> str:
        return "random-wrong"
