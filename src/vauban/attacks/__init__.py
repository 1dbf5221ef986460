"""Attacks: one file each. An attack is a frozen dataclass of hyper-parameters that reads like its paper's box."""

from __future__ import annotations

import importlib
from typing import Any

from vauban.core.registry import Registry

registry: Registry[Any] = Registry("attack", "vauban.attacks")
"""Facts: `norms` the attack works in, `needs` what a threat must grant (gradients, scores, labels or nothing),
`targeted` whether it takes a target, `randomised` whether it draws random numbers, `fitted` whether it needs a file that
`vauban fit` writes."""
fitters: Registry[Any] = Registry("attack to fit", "vauban.attacks")
"""What fits an attack, under the name of the attack. Facts as above, of the fit."""


def __getattr__(name: str) -> Any:
    """The attack classes by their own names, imported when first used: `attacks.PGD`; and `attacks.standard(ball)`."""
    if name == "standard":
        return importlib.import_module("vauban.attacks.battery").standard
    for entry in (*registry, *fitters):
        if getattr(entry.make, "__name__", None) == name:
            return entry.make
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(name: str, **params: Any) -> Any:
    """An attack by its registered name, with parameters."""
    return registry.get(name).build("attack", params)


__all__ = ["fitters", "load", "registry"]
