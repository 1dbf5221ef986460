"""Attacks: one file each. An attack is a frozen dataclass of hyper-parameters that reads like its paper's box."""

from __future__ import annotations

from typing import Any

from vauban.core.face import face
from vauban.core.registry import Entry, Registry


def _declare(entry: Entry[Any]) -> None:
    from vauban.attacks.parts.declared import declare

    declare(entry)


registry: Registry[Any] = Registry("attack", "vauban.attacks", _declare)
"""Facts: `norms` the attack works in, `needs` what a threat must grant (gradients, scores, labels or nothing),
`targeted` whether it takes a target, `randomised` whether it draws random numbers, `fitted` whether it needs a file that
`vauban fit` writes, `combines` whether it runs the attacks that it is given."""
fitters: Registry[Any] = Registry("attack to fit", "vauban.attacks")
"""What fits an attack, under the name of the attack. Facts as above, of the fit."""

face(
    __name__,
    registry,
    fitters,
    extras={
        "Foreign": "vauban.attacks.foreign:Foreign",
        "load": "vauban.words.attack:load",
        "standard": "vauban.attacks.standard:standard",
    },
)
