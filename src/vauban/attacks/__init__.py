"""Attacks: one file each. An attack is a frozen dataclass of hyper-parameters that reads like its paper's box."""

from __future__ import annotations

from typing import Any

from vauban.core.errors import ContractError
from vauban.core.face import face
from vauban.core.norms import Norm
from vauban.core.registry import Entry, Registry
from vauban.engine.attack import Attack


def _declare(entry: Entry[Any]) -> None:
    """Check what an attack declares, and let its class answer what a threat must grant."""
    attack = entry.make
    if not (isinstance(attack, type) and issubclass(attack, Attack)):
        raise ContractError(f"expected the attack {entry.name!r} as a subclass of vauban.engine.Attack, got {attack!r}")
    for name, kinds in (("norm", (Norm, property)), ("passes", (tuple, property))):
        if not isinstance(getattr(attack, name), kinds):
            raise ContractError(f"expected {name} of the attack {entry.name!r} as a value or a property")
    attack.needs = entry.facts["needs"]


registry: Registry[Any] = Registry("attack", "vauban.attacks", _declare)
"""Facts: `norms` the attack works in, `needs` what a threat must grant (gradients, scores, labels or nothing),
`targeted` whether it takes a target, `randomised` whether it draws random numbers, `fitted` whether it needs a file that
`vauban fit` writes."""
fitters: Registry[Any] = Registry("attack to fit", "vauban.attacks")
"""What fits an attack, under the name of the attack. Facts as above, of the fit."""


def load(name: str, **params: Any) -> Any:
    """An attack by its registered name, with parameters."""
    return registry.get(name).build("attack", params)


face(__name__, registry, fitters, extras={"standard": "vauban.attacks.standard:standard"})
