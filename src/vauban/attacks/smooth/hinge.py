"""Carlini and Wagner's objective on the perturbation itself: (2.18)-(2.19) as (4.9) of the thesis of H. Zhang has it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vauban.attacks.minimal.cw_l2 import Confident
from vauban.core.losses import margin
from vauban.core.norms import L2, Norm
from vauban.core.tensors import like
from vauban.engine import Ask, Result, Search, Steps


def free(ask: Ask, r: Tensor) -> Tensor:
    """r where the attacker may change the image."""
    return r if ask.mask is None else r * ask.mask


def slope(ask: Ask, r: Tensor, c: Tensor, kappa: float) -> Tensor:
    """Minus the gradient of ||r||_2^2 + c [kappa - margin(clip(x0 + r))]_+ with respect to r; one gradient."""
    x = ask.x0 + r
    inside = (x >= 0) & (x <= 1)
    logits, (g,) = ask.gradient(x, margin)
    push = torch.where(margin(logits, ask.aim) <= kappa, c, 0)
    return (like(push, g) * g * inside).sub_(r, alpha=2)


@dataclass(frozen=True)
class Constants(ABC):
    """An attack that minimises ||r||_2^2 + c [kappa - margin]_+ in steps, for each of several constants c per sample."""

    search_steps: int = 5
    steps: int = 100
    lr: float = 0.1
    c: float = 1.0
    kappa: float = 0.0

    @abstractmethod
    def inner(self, ask: Ask) -> Steps[Any]:
        """The attack at one constant per sample, its knob "c"."""

    @property
    def measure(self) -> Norm:
        return L2

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.search_steps * (self.steps + 1), self.search_steps * self.steps

    def run(self, ask: Ask) -> Result:
        if self.kappa > 0:
            ask = ask.aimed(Confident(**vars(ask.aim), kappa=self.kappa))
        return Search(self.inner(ask), "c", self.c, self.search_steps, largest=1e10).run(ask)
