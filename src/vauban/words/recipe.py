"""The word for a training recipe: parts joined by `+`, each with the attacks it names in brackets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from vauban.core import text as specs
from vauban.core.errors import ContractError
from vauban.core.registry import Entry
from vauban.training import registry
from vauban.training.recipe import Part, Recipe
from vauban.words.attack import attack_of

RESOLVED: Mapping[str, Callable[[str], Any]] = {"attack": lambda text: attack_of(text).value}
"""What a parameter stands for that a registry entry declares among its `words`."""


def recipe_of(word: str | Part | Recipe) -> Recipe:
    """A recipe by text, `at:attack=[pgd:eps=0.3,steps=7],alpha=0.5+mirror-shift`, or by objects.

    Raises:
        UnknownName: A part or a parameter that is not registered.
        ContractError: Two objectives, or a value that does not fit.
    """
    if isinstance(word, Recipe):
        return word
    if isinstance(word, Part):
        return Recipe((word,))
    return Recipe(tuple(_part(specs.parse(text)) for text in specs.split(word, "+")))


def _part(spec: specs.Spec) -> Part:
    if spec.file is not None:
        made = specs.from_file(replace(spec, params={}))
        entry = Entry(spec.text, made, "", {"words": getattr(made, "words", {})})
        part = made if isinstance(made, Part) else _built(entry, spec.params)
    else:
        part = _built(registry.get(spec.name), spec.params)
    if not isinstance(part, Part):
        raise ContractError(f"expected {spec.text!r} to be a part of a recipe, got {type(part).__name__}")
    return part


def _built(entry: Entry[Any], given: Mapping[str, Any]) -> Any:
    params = dict(given)
    for name, kind in entry.facts.get("words", {}).items():
        if isinstance(params.get(name), str):
            params[name] = RESOLVED[kind](params[name])
    return entry.build(registry.kind, params)
