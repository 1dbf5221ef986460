"""Words: what names stand for, the only reader of them and of `file.py:name`.

    from vauban import words
    words.load("attack", "restarts:attack=[pgd:eps=8/255],times=5")

One file for each kind; none is imported before it is needed.
"""

from __future__ import annotations

import importlib
from typing import Any

from vauban.core.arguments import named_arguments
from vauban.core.errors import UnknownName, exits_are_errors

KINDS = (
    "attack",
    "criterion",
    "data",
    "defence",
    "fitter",
    "goal",
    "key",
    "loss",
    "metric",
    "model",
    "network_metric",
    "recipe",
    "selection",
    "threat",
)


@named_arguments
@exits_are_errors()
def load(kind: str, text: Any, **options: Any) -> Any:
    """The object that a text names.

    Args:
        kind: One of `KINDS`.
        text: A name with parameters, `file.py:name`, or an object of that kind, which is checked.
        options: Of `vauban.words.KIND.load`: parameters that come as objects; for data `root`, `labels`, `download`; for a
            model `weights`; for an attack `data`, whose conventional budgets are taken.

    Raises:
        UnknownName: The kind, a name or a parameter is not known.
        ContractError: Nothing can be made of it.
    """
    if kind not in KINDS:
        raise UnknownName("kind", kind, KINDS)
    return importlib.import_module(f"vauban.words.{kind}").load(text, **options)
