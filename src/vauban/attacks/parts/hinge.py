"""Carlini and Wagner's objective on the perturbation itself: (2.18)-(2.19) as (4.9) of the thesis of H. Zhang has it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.attacks.parts.penalty_search import PenaltySearch
from vauban.core.losses import margin
from vauban.core.tensors import like
from vauban.engine import Oracle


def free(oracle: Oracle, r: Tensor) -> Tensor:
    """r where the attacker may change the image."""
    return r if oracle.domain.mask is None else r * oracle.domain.mask


def slope(oracle: Oracle, r: Tensor, c: Tensor, kappa: float) -> Tensor:
    """Minus the gradient of ||r||_2^2 + c [kappa - margin(clip(x0 + r))]_+ with respect to r; one gradient."""
    x = oracle.domain.x0 + r
    inside = (x >= 0) & (x <= 1)
    _, (g,) = oracle.gradient(x, margin)
    push = c * (oracle.loss <= kappa)
    return (like(push, g) * g * inside).sub_(r, alpha=2)


@dataclass(frozen=True)
class HingePenalty(PenaltySearch):
    """The parameters of an attack that minimises ||r||_2^2 + c [kappa - margin]_+ in steps of Adam."""

    search_steps: int = 5
    steps: int = 100
    lr: float = 0.1
    c: float = 1.0
    kappa: float = 0.0
