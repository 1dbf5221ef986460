"""What the attacker wants: `Untargeted`, `Targeted`, `LeastLikely`, `RandomWrong`.

A goal is declared without labels and resolved once per batch into `ResolvedGoal`, which holds them: the labels never change
afterwards. With `rejects=True` the last logit column means 'rejected': a rejected image never counts as adversarial.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.rng import Stream


@dataclass(frozen=True)
class ResolvedGoal:
    """The labels of one batch: y `(batch,)`, target `(batch,)` or None when untargeted.

    toward `(batch,)`: the class the losses move toward while `reached` is unchanged, for untargeted attacks that proceed
    class by class.
    """

    y: Tensor
    target: Tensor | None = None
    rejects: bool = False
    toward: Tensor | None = None

    @property
    def heading(self) -> Tensor | None:
        """The class the losses move toward: `toward`, else `target`; None: away from y."""
        return self.target if self.toward is None else self.toward

    def rows(self, index: Tensor) -> ResolvedGoal:
        target, toward = (None if label is None else label[index] for label in (self.target, self.toward))
        return replace(self, y=self.y[index], target=target, toward=toward)

    def wrong_classes(self, logits: Tensor) -> Tensor:
        """Every class but y and 'rejected', least likely first, `(batch, classes - 1)` (- 2 with `rejects`)."""
        order = (logits[:, :-1] if self.rejects else logits).argsort(stable=True, dim=1)
        wrong = order != self.y[:, None]
        return order.masked_select(wrong).view(len(order), -1)

    def reached(self, logits: Tensor) -> Tensor:
        """Whether the prediction is what the attacker wants, `(batch,)`; ties go to the first class, NaN to nobody."""
        top, label = logits.max(1)  # NaN, which is not itself, where any logit is
        return self.reached_by(label, logits.shape[1]) & (top == top)

    def reached_by(self, label: Tensor, classes: int) -> Tensor:
        """The same from predicted labels."""
        if self.target is not None:
            return label == self.target
        won = label != self.y
        return won & (label != classes - 1) if self.rejects else won


class Goal(Protocol):
    """`resolve` needs the clean logits only where `needs_logits` is set; they are counted as one query."""

    @property
    def needs_logits(self) -> bool: ...
    def resolve(self, y: Tensor, logits: Tensor | None, classes: int, rng: Stream) -> ResolvedGoal: ...
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Untargeted:
    """Any label but the true one."""

    needs_logits = False
    rejects: bool = False

    def resolve(self, y: Tensor, logits: Tensor | None, classes: int, rng: Stream) -> ResolvedGoal:
        return ResolvedGoal(y, rejects=self.rejects)

    def __str__(self) -> str:
        return "untargeted"


@dataclass(frozen=True, eq=False)
class Targeted:
    """A given label: one for all samples, or one for each of the batch."""

    needs_logits = False
    target: int | Tensor = 0

    def resolve(self, y: Tensor, logits: Tensor | None, classes: int, rng: Stream) -> ResolvedGoal:
        target = torch.as_tensor(self.target, device=y.device)
        if target.dtype != torch.int64 or target.shape not in ((), y.shape):
            raise ContractError(
                f"expected one int64 target or one for each of {len(y)} samples, got {target.dtype} "
                f"of shape {tuple(target.shape)}"
            )
        if bool((target >= classes).any() | (target < 0).any()):
            low, high = int(target.min()), int(target.max())
            raise ContractError(f"expected targets in [0, {classes - 1}], got [{low}, {high}]")
        return ResolvedGoal(y, target.expand_as(y).clone())

    def __str__(self) -> str:
        return f"targeted:{self.target if isinstance(self.target, int) else 'given'}"


@dataclass(frozen=True)
class LeastLikely:
    """The class with the smallest logit on the clean image (never the true one)."""

    needs_logits = True

    def resolve(self, y: Tensor, logits: Tensor | None, classes: int, rng: Stream) -> ResolvedGoal:
        assert logits is not None
        return ResolvedGoal(y, ResolvedGoal(y).wrong_classes(logits)[:, 0])

    def __str__(self) -> str:
        return "least-likely"


@dataclass(frozen=True)
class RandomWrong:
    """A class drawn uniformly among the wrong ones, the same for a sample in every batch."""

    needs_logits = False

    def resolve(self, y: Tensor, logits: Tensor | None, classes: int, rng: Stream) -> ResolvedGoal:
        return ResolvedGoal(y, (y + 1 + rng.integers("target", classes - 1)) % classes)

    def __str__(self) -> str:
        return "random-wrong"
