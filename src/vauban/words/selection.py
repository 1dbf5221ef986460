"""Selections of an epoch by name: `last`, `best:attack=[pgd:eps=0.1,steps=10]`, or `file.py:name`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, short
from vauban.core.registry import Entry
from vauban.core.text import parse
from vauban.training.selection import Selection
from vauban.training.selections import registry
from vauban.words.files import from_file
from vauban.words.named import resolved


@named_arguments
def load(word: str | Selection, data: Any = None) -> Selection:
    """The selection that a text names.

    Args:
        word: The selection.
        data: Data set whose conventional budget an attack without eps takes; None: such an attack is refused.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: A value is refused, or an object is no selection.
    """
    if isinstance(word, str):
        spec = parse(word)
        if spec.file is None:
            entry = registry.get(spec.name)
            made = entry.build(registry.kind, resolved(spec.params, entry.words, data=data))
        else:
            named = from_file(replace(spec, params={}))
            made = (
                named
                if isinstance(named, Selection)
                else Entry(f"{spec.file}:{spec.name}", named, "").build(
                    registry.kind, resolved(spec.params, {"attack": "attack"}, data=data)
                )
            )
    else:
        made = word
    if not isinstance(made, Selection):
        raise ContractError(f"expected a selection such as last or best:attack=[...], got {short(made)}")
    return made
