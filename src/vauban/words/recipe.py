"""The word for a training recipe: parts joined by `+`, each with the attacks it names in brackets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

from vauban.core import text as specs
from vauban.core.errors import ContractError
from vauban.core.parameters import declared
from vauban.core.registry import Entry
from vauban.engine.attack import Attack
from vauban.training import registry
from vauban.training.recipe import Recipe, RecipePart
from vauban.words.attack import attack_of

READERS: Mapping[type, Callable[[str], Any]] = {Attack: lambda text: attack_of(text).value}
"""How the text of a parameter is read that is annotated with one of these classes."""


def recipe_of(word: str | RecipePart | Recipe) -> Recipe:
    """A recipe by text, `at:attack=[pgd:eps=0.3,steps=7],alpha=0.5+mirror-shift`, or by objects.

    Raises:
        UnknownName: A part or a parameter that is not registered.
        ContractError: Two objectives, or a value that does not fit.
    """
    if isinstance(word, Recipe):
        return word
    if isinstance(word, RecipePart):
        return Recipe((word,))
    return Recipe(tuple(_part(specs.parse(text)) for text in specs.split(word, "+")))


def _part(spec: specs.Spec) -> RecipePart:
    if spec.file is None:
        part = _built(registry.get(spec.name), spec.params)
    else:
        part = specs.from_file(replace(spec, params={}))
        if not isinstance(part, RecipePart):
            part = _built(Entry(spec.text, part, ""), spec.params)
    if not isinstance(part, RecipePart):
        raise ContractError(f"expected {spec.text!r} to be a part of a recipe, got {type(part).__name__}")
    return part


def _built(entry: Entry[Any], params: Mapping[str, Any]) -> Any:
    hints = declared(entry.make)
    return entry.build(registry.kind, {name: _read(value, hints.get(name)) for name, value in params.items()})


def _read(value: Any, hint: Any) -> Any:
    """What a parameter is given: text is read where the annotation is a class of READERS, or a union with one."""
    readers = [read for owner, read in READERS.items() if owner is hint or owner in get_args(hint)]
    return readers[0](value) if readers and isinstance(value, str) else value
