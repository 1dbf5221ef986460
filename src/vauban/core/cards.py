"""Card of a defence: facts, written by its author, of what an attacker who knows the defence must do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from vauban.core.arguments import NamedArguments, named_arguments
from vauban.core.errors import ContractError, MissingExtra

Backward = Callable[..., Tensor] | None
"""What is differentiated in place of an operation: a function of its inputs, or None for the identity."""


def lacking(rules: Iterable[Backward]) -> MissingExtra | None:
    """What backward rules need and is not installed, found by their `check_installed`; None where nothing is."""
    for rule in rules:
        check = getattr(rule, "check_installed", None)
        try:
            if check is not None:
                check()
        except MissingExtra as error:
            return error
    return None


class Path(Protocol):
    """Path of an image to a network: a defence or an input transform."""

    @property
    def name(self) -> str: ...
    def wrap(self, module: nn.Module) -> nn.Module:
        """The network behind this path: [0,1] images in, logits out."""


@dataclass(frozen=True)
class Card(NamedArguments):
    """The facts of a defence that decide how it is attacked.

    Attributes:
        name: As registered.
        random: Two calls on one image may differ.
        keyed: Depends on a secret.
        keys: Ids of the keys that it depends on, where they are `core.secret.Secret`s.
        backward: For each operation that is not usefully differentiable, what BPDA (Athalye, Carlini, Wagner 2018,
            arXiv:1802.00420) differentiates in its place. The operation is a named submodule of the module that carries
            the card; the empty name is that module itself.
        draws: Samples per gradient (EOT) that the natural adaptive attack takes.
        reference: The source.
        objective: Weighted submodules whose summed losses, sum_i w_i L(f_i(x)), the adaptive attack differentiates in
            place of the module that carries the card (a vote); empty: the module's own loss.
        rejects: The network has one logit more than the data have classes, the last: 'rejected'.
        fitted_to: Fingerprint of the network that the defence was fitted to; "": of none, or not known.
    """

    name: str
    random: bool = False
    keyed: bool = False
    backward: Mapping[str, Backward] = field(default_factory=dict)
    draws: int = 1
    reference: str = ""
    objective: tuple[tuple[str, float], ...] = ()
    rejects: bool = False
    keys: tuple[str, ...] = ()
    fitted_to: str = ""

    @property
    def not_differentiable(self) -> tuple[str, ...]:
        """Names of the operations that need a substitute."""
        return tuple(self.backward)


class Defended(nn.Module):
    """A module behind a defence: [0,1] images in, logits out.

    Subclasses implement `forward`. Attack, metrics and runner cannot tell that a defence is there.

    Attributes:
        inner: The module that is protected.
        card: The facts about the defence.
    """

    @named_arguments
    def __init__(self, inner: nn.Module, card: Card) -> None:
        super().__init__()
        self.inner = inner
        self.card = card


def in_training(module: nn.Module) -> bool:
    """Whether a module is in training mode; one without a mode (frozen TorchScript) is not."""
    return bool(getattr(module, "training", False))


def carded(module: nn.Module) -> Iterator[tuple[nn.Module, Card]]:
    """Every submodule (itself included) that carries a card, outermost first."""
    for part in module.modules():
        card = getattr(part, "card", None)
        if isinstance(card, Card):
            yield part, card


TRAINED_BEHIND = "trained_behind"
"""Attribute of a network from a weights file that was trained behind keys: `{"keys": their ids, "run": how}`."""


def keys_of(module: nn.Module) -> tuple[str, ...]:
    """Ids of the keys on the cards of a module, each once, outermost first."""
    return tuple(dict.fromkeys(key for _, card in carded(module) for key in card.keys))


def check_keys(network: nn.Module, keys: tuple[str, ...]) -> None:
    """Raises ContractError, in one line, where a network was trained behind a key that is not among these."""
    trained = [key for part in network.modules() for key in getattr(part, TRAINED_BEHIND, {"keys": ()})["keys"]]
    behind = {*keys, *keys_of(network)}
    if trained and not set(keys) <= set(trained):
        raise ContractError(
            f"expected the key {' or '.join(dict.fromkeys(trained))}, behind which this network was trained, got "
            f"{', '.join(sorted(behind))}; another key needs another training"
        )


def rejecting(*modules: nn.Module) -> bool:
    """Whether a card anywhere in the modules says that the last logit means 'rejected'."""
    return any(card.rejects for module in modules for _, card in carded(module))


def bare(module: nn.Module) -> nn.Module:
    """The network below all defences."""
    while isinstance(module, Defended):
        module = module.inner
    return module
