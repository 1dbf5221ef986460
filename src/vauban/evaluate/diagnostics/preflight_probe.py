"""Calls of the preflight: outside the oracle, uncounted and unrounded, under fixed random numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from vauban.core.errors import NoGradient
from vauban.core.goals import Goal, ResolvedGoal, Targeted
from vauban.core.losses import Loss, loss_values, margin
from vauban.core.rng import seeded
from vauban.engine import Oracle
from vauban.engine.network import differentiate, in_columns, predict, quiet
from vauban.engine.rerouted import rerouted
from vauban.engine.threat import BoundThreat


@dataclass(frozen=True)
class Unavailable:
    """Why autograd gives no gradient with respect to the image."""

    cause: str


class Probe:
    """The judged network (`answer`) and the objective that the threat differentiates (`gradients`, `values`) on a batch.

    The objective is the weighted sum of a loss over the threat's networks, with its BPDA rules in force; every call
    draws the same random numbers unless told otherwise.
    """

    def __init__(
        self, threat: BoundThreat, x: Tensor, goal: ResolvedGoal, seed: int, classes: int | None = None
    ) -> None:
        self.threat, self.x, self.goal, self.seed, self.classes = threat, x, goal, seed, classes
        self._columns: int | None = None
        nets = (threat.target, *(network for network, _ in threat.networks))
        self._parts = list(dict.fromkeys(part for net in nets for part in net.modules()))

    @contextmanager
    def _calm(self, draw: int = 0) -> Iterator[None]:
        with quiet(self._parts), seeded(self.seed, "preflight", draw, device=self.x.device):
            yield

    def answer(self, x: Tensor, draw: int = 0) -> Tensor:
        """The judged network's logits `(batch, classes)` under the random numbers `draw`."""
        with self._calm(draw):
            logits = predict(self.threat.target, x, self.threat.half)
        self._columns = logits.shape[1]
        return logits

    @property
    def columns(self) -> int:
        """Number of logits of the judged network."""
        return self._columns or self.answer(self.x[:1]).shape[1]

    def in_columns(self, logits: Tensor) -> Tensor:
        """Logits of a source in the columns of the judged network, one of which may mean 'rejected'."""
        return in_columns(logits, self.columns)

    def source_logits(self, x: Tensor) -> list[Tensor]:
        """The logits of each differentiated network."""
        answers = []
        for network, _ in self.threat.networks:
            with self._calm():
                answers.append(predict(network, x, self.threat.half))
        return answers

    def values(self, logits: list[Tensor], loss: Loss = margin) -> Tensor:
        """The objective `(batch,)` for the logits of `source_logits`."""
        weights = [weight for _, weight in self.threat.networks]
        losses = [w * loss(self.in_columns(z), self.goal) for w, z in zip(weights, logits, strict=True)]
        return torch.stack(losses).sum(0)

    def gradients(self, x: Tensor, *losses: Loss) -> list[Tensor] | Unavailable:
        """The gradients of the objective, one for each loss, or the reason why there are none."""
        try:
            rows = self._gradients(x, losses)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, ValueError) as error:
            return Unavailable(f"differentiating the model raises {type(error).__name__}, {_first_line(error)}")
        if all(g is None for row in rows for g in row):
            return Unavailable("the output is detached from the image (detach, no_grad or numpy inside the model)")
        zero = torch.zeros_like(x)
        return [torch.stack([zero if g is None else g for g in row]).sum(0) for row in rows]

    def _gradients(self, x: Tensor, losses: tuple[Loss, ...]) -> list[list[Tensor | None]]:
        gradients_of: list[list[Tensor | None]] = [[] for _ in losses]
        functions, columns = [partial(self._value, loss) for loss in losses], self.columns
        for network, weight in self.threat.networks:
            try:
                with self._calm(), rerouted(self.threat.backward):
                    _, _, own, _ = differentiate(network, x.clone(), functions, self.threat.half, columns)
            except NoGradient:
                for row in gradients_of:
                    row.append(None)
                continue
            for row, g in zip(gradients_of, own, strict=True):
                row.append(weight * g)
        return gradients_of

    def _value(self, loss: Loss, logits: Tensor) -> Tensor:
        return loss_values(loss, logits, self.goal)

    def optimises(self) -> bool:
        """Whether the forward pass of the judged network runs a backward pass of its own."""
        with self._calm(), calls_of(torch.autograd.grad, torch.autograd.backward) as seen:
            predict(self.threat.target, self.x[:2], self.threat.half)
        return bool(seen)


@contextmanager
def calls_of(*functions: Any) -> Iterator[list[str]]:
    """Names of the Python functions among `functions` that this thread calls while open, however they were imported.

    A profile hook sees their code run; nothing is patched, and the previous hook is put back.
    """
    codes = {function.__code__ for function in functions}
    seen: list[str] = []

    def look(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and frame.f_code in codes:
            seen.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(before)


def resolve(
    threat: BoundThreat, x: Tensor, y: Tensor, goal: Goal | ResolvedGoal, ids: Tensor | None, seed: int
) -> ResolvedGoal:
    """The labels of the images x, which are the first of those the goal was declared for."""
    if isinstance(goal, ResolvedGoal):
        return goal.rows(torch.arange(len(x), device=x.device))
    return Oracle.open(threat, x, y, first(goal, len(x)), ids, seed).goal


def first(goal: Goal, n: int) -> Goal:
    """The goal of the first n samples."""
    if isinstance(goal, Targeted) and isinstance(goal.target, Tensor) and goal.target.dim():
        return Targeted(goal.target[:n])
    return goal


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return repr(text[:120] + "..." if len(text) > 120 else text)
