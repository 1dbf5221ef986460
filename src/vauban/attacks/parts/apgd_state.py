"""State of Auto-PGD."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from vauban.core.tensors import where


@dataclass(frozen=True)
class APGDState:
    """State of Auto-PGD: points `(batch, ...)` and numbers `(batch,)` of each sample.

    Attributes:
        x, old: This point and the one before.
        gradient: At x, once it has been seen.
        best, best_gradient: The point of highest loss, and the gradient there.
        loss, best_loss, checked_loss: At x, at best, and at best when last checked.
        step: Length of a step, relative to the radius.
        rises: Steps since the last checkpoint that raised the loss.
        halved: Whether the last checkpoint changed the step.
    """

    x: Tensor
    old: Tensor
    gradient: Tensor
    best: Tensor
    best_gradient: Tensor
    loss: Tensor
    best_loss: Tensor
    checked_loss: Tensor
    step: Tensor
    rises: Tensor
    halved: Tensor

    @classmethod
    def at(cls, x: Tensor, step: float) -> Self:
        """The state at the images x before anything is seen, with a first step relative to the radius."""
        one = torch.ones(len(x), dtype=x.dtype, device=x.device)
        none, zeros = one * -torch.inf, torch.zeros_like(x)
        return cls(
            x=x,
            old=x,
            gradient=zeros,
            best=x,
            best_gradient=zeros,
            loss=one * torch.inf,
            best_loss=none,
            checked_loss=none,
            step=one * step,
            rises=torch.zeros_like(one),
            halved=torch.zeros_like(one) > 0,
        )

    def seen(self, gradient: Tensor, loss: Tensor) -> Self:
        """With the gradient and the loss at x."""
        better = loss > self.best_loss
        return replace(
            self,
            gradient=gradient,
            loss=loss,
            rises=self.rises + (loss > self.loss),
            best=where(better, self.x, self.best),
            best_gradient=where(better, gradient, self.best_gradient),
            best_loss=torch.where(better, loss, self.best_loss),
        )

    def back_to_best(self, rows: Tensor) -> Self:
        """The given rows `(batch,)` at their point of highest loss; `old` is kept, so the momentum includes the jump."""
        return replace(
            self,
            x=where(rows, self.best, self.x),
            gradient=where(rows, self.best_gradient, self.gradient),
            loss=torch.where(rows, self.best_loss, self.loss),
        )
