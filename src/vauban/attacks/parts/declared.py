"""Declared facts of an attack."""

from __future__ import annotations

from typing import Any

from vauban.core.errors import ContractError
from vauban.core.norms import Norm
from vauban.core.registry import Entry
from vauban.engine.attack import Attack


def declare(entry: Entry[Any]) -> None:
    """Check what an attack declares, and let its class answer what a threat must grant.

    A combinator answers for what it holds, and may be a function.

    Raises:
        ContractError: It is no attack, or declares a norm or passes of another type.
    """
    attack = entry.make
    if entry.facts.get("combines"):
        return
    if not (isinstance(attack, type) and issubclass(attack, Attack)):
        raise ContractError(f"expected the attack {entry.name!r} as a subclass of vauban.engine.Attack, got {attack!r}")
    for name, kinds in (("norm", (Norm, property)), ("passes", (tuple, property))):
        if not isinstance(getattr(attack, name), kinds):
            raise ContractError(f"expected {name} of the attack {entry.name!r} as a value or a property")
    attack.needs = entry.facts["needs"]
