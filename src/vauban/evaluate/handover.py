"""Handing over: run an attack and take the image that counts, for evaluations and for the tables of papers alike."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vauban.core.tensors import where
from vauban.engine import Attack, Oracle, Result, Steps, iterate

Handover = Literal["last", "best"]


def handed_over(attack: Attack, oracle: Oracle, which: Handover = "best") -> tuple[Result, Tensor]:
    """Run an attack on the rows of an oracle.

    Args:
        attack: The attack.
        oracle: Access to the networks for the rows.
        which: "best": the attack stops where it would, and hands over its success, or what it made where it knows of none.
            "last": a step attack runs to its last iterate and hands that over; another one hands over what it made.

    Returns:
        The result, and the images `(batch, ...)` that are handed over.
    """
    if which == "last":
        result = iterate(attack, oracle, stop="never", keep="last") if isinstance(attack, Steps) else attack.run(oracle)
        return result, result.crafted
    result = attack.run(oracle)
    return result, where(result.success, result.adversarial, result.crafted)
