"""Bounded ReLU (Zantedeschi, Nicolae and Rawat 2017, arXiv:1707.06728, section 3.1), fixed or learned."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from vauban.core.cards import Card

LEAK = 0.1  # slope outside [0, t] of what is differentiated in the place of a bounded ReLU


def leaky_bounded(x: Tensor, *, t: float | Tensor) -> Tensor:
    """A bounded ReLU with slope 0.1 below 0 and above t, where its own gradient vanishes: its backward rule (BPDA)."""
    bounded = x.clamp(0, t) if isinstance(t, float) else torch.minimum(x.clamp_min(0), t)
    return bounded + LEAK * (x - bounded)


def card_of(t: float | Tensor) -> Card:
    """Facts for an attacker: the gradient vanishes wherever the activation is at an end."""
    rule = partial(leaky_bounded, t=t)
    return Card("brelu", backward={"": rule}, reference="Zantedeschi, Nicolae, Rawat 2017, arXiv:1707.06728")


class BoundedReLU(nn.Hardtanh):
    """f(x) = 0 for x < 0, x for 0 <= x < t, t for x >= t; the derivative at both ends is 0.

    Args:
        t: The bound, above 0.
    """

    def __init__(self, t: float = 1.0) -> None:
        super().__init__(0.0, float(t))

    @property
    def card(self) -> Card:
        return card_of(float(self.max_val))


class LearnedReLU(nn.Module):
    """Bounded ReLU whose bound is a parameter, from which the gradient comes where x >= t (PACT, arXiv:1805.06085).

    A bound that training has moved below 1e-6 counts as 1e-6.

    Attributes:
        t: The bound.
    """

    def __init__(self, t: float = 1.0) -> None:
        super().__init__()
        self.t = nn.Parameter(torch.tensor(float(t)))

    @property
    def card(self) -> Card:
        return card_of(self.bound.detach())

    @property
    def bound(self) -> Tensor:
        """The bound in force, above 0."""
        return self.t.clamp_min(1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.minimum(x.clamp_min(0), self.bound)
