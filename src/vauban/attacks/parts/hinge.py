"""Hinge penalty: Carlini and Wagner's objective on the perturbation itself; (2.18)-(2.19) as (4.9) of the thesis of
H. Zhang has it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.attacks.parts.penalty_search import Constant, PenaltySearch
from vauban.core.losses import margin
from vauban.core.parameters import Count, NonNegative, StepRate
from vauban.core.tensors import like
from vauban.engine import Oracle


def free(oracle: Oracle, r: Tensor) -> Tensor:
    """The perturbation r with zeros where the attacker may not change the image."""
    return r if oracle.domain.mask is None else r * oracle.domain.mask


def slope(oracle: Oracle, r: Tensor, c: Tensor, kappa: float) -> Tensor:
    """Minus the gradient of ||r||_2^2 + c [kappa - margin(clip(x0 + r))]_+ with respect to r.

    Args:
        oracle: Asked for one gradient.
        r: Perturbations `(batch, ...)`.
        c: Weights of the hinge `(batch,)`.
        kappa: Margin up to which the hinge pushes.
    """
    x = oracle.domain.x0 + r
    inside = (x >= 0) & (x <= 1)
    _, (g,) = oracle.gradient(x, margin)
    push = c * (oracle.loss <= kappa)
    return (like(push, g) * g * inside).sub_(r, alpha=2)


@dataclass(frozen=True)
class HingePenalty(PenaltySearch):
    """Attack that minimises ||r||_2^2 + c [kappa - margin]_+ in steps of Adam.

    Attributes:
        search_steps: Values of c that are tried.
        steps: Steps of Adam for each.
        lr: Adam's rate.
        c: First weight of the hinge.
        kappa: Margin that a success must have.

    Raises:
        ContractError: A value outside its range.
    """

    search_steps: Count = 5
    steps: Count = 100
    lr: StepRate = 0.1
    c: Constant = 1.0
    kappa: NonNegative = 0.0
