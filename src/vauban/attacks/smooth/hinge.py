"""Carlini and Wagner's objective on the perturbation itself: (2.18)-(2.19) as (4.9) of the thesis of H. Zhang has it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.attacks.minimal.constants import Constants
from vauban.core.losses import margin
from vauban.core.tensors import like
from vauban.engine import Ask


def free(ask: Ask, r: Tensor) -> Tensor:
    """r where the attacker may change the image."""
    return r if ask.mask is None else r * ask.mask


def slope(ask: Ask, r: Tensor, c: Tensor, kappa: float) -> Tensor:
    """Minus the gradient of ||r||_2^2 + c [kappa - margin(clip(x0 + r))]_+ with respect to r; one gradient."""
    x = ask.x0 + r
    inside = (x >= 0) & (x <= 1)
    _, (g,) = ask.gradient(x, margin)
    push = c * (ask.loss <= kappa)
    return (like(push, g) * g * inside).sub_(r, alpha=2)


@dataclass(frozen=True)
class Hinged(Constants):
    """The parameters of an attack that minimises ||r||_2^2 + c [kappa - margin]_+ in steps of Adam."""

    search_steps: int = 5
    steps: int = 100
    lr: float = 0.1
    c: float = 1.0
    kappa: float = 0.0
