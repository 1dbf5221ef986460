"""A defence's card: what an attacker who knows the defence must do about it. It is written by the defence's author."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

Backward = Callable[..., Tensor] | None
"""What is differentiated in place of an operation: a function of its inputs, or None for the identity."""


class Path(Protocol):
    """What an image goes through on its way to a network: `wrap(module)` is the network behind it."""

    @property
    def name(self) -> str: ...
    def wrap(self, module: nn.Module) -> nn.Module: ...


@dataclass(frozen=True)
class Card:
    """name: as registered. random: two calls on one image may differ. keyed: depends on a secret.

    backward: for each operation that is not usefully differentiable (a named submodule of the module that carries the
    card), what BPDA (Athalye, Carlini, Wagner 2018) differentiates instead. draws: samples per gradient (EOT) that the
    natural adaptive attack takes.

    objective: weighted submodules whose summed losses, sum_i w_i L(f_i(x)), the adaptive attack differentiates in place of
    the module that carries the card (a vote); empty: the module's own loss.
    """

    name: str
    random: bool = False
    keyed: bool = False
    backward: Mapping[str, Backward] = field(default_factory=dict)
    draws: int = 1
    reference: str = ""
    objective: tuple[tuple[str, float], ...] = ()

    @property
    def not_differentiable(self) -> tuple[str, ...]:
        return tuple(self.backward)


class Defended(nn.Module):
    """A module behind a defence: [0,1] images in, logits out; `inner` is what it protects, `card` what is known of it.

    Subclasses implement `forward`. Attack, metrics and runner cannot tell that a defence is there.
    """

    def __init__(self, inner: nn.Module, card: Card) -> None:
        super().__init__()
        self.inner = inner
        self.card = card


def carded(module: nn.Module) -> Iterator[tuple[nn.Module, Card]]:
    """Every submodule (itself included) that carries a card, outermost first."""
    for part in module.modules():
        card = getattr(part, "card", None)
        if isinstance(card, Card):
            yield part, card


def bare(module: nn.Module) -> nn.Module:
    """The network below all defences."""
    while isinstance(module, Defended):
        module = module.inner
    return module
