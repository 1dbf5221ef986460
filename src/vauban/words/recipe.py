"""Recipes of training by name: parts joined by `+`, `at:attack=[pgd:eps=0.3,steps=7],alpha=0.5+mirror-shift`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, short
from vauban.core.registry import Entry
from vauban.core.text import Spec, joined, parse
from vauban.training import registry
from vauban.training.recipe import Recipe, RecipePart
from vauban.words.files import from_file
from vauban.words.named import resolved


@named_arguments
def load(word: str | RecipePart | Recipe, data: Any = None) -> Recipe:
    """The recipe of a text, as `recipe_of` takes it."""
    return recipe_of(word, data)


def recipe_of(word: str | RecipePart | Recipe, data: Any = None) -> Recipe:
    """A recipe by text, or by objects.

    Args:
        word: The recipe.
        data: Data set whose conventional budget an attack without eps takes; None: such an attack is refused.

    Raises:
        UnknownName: A part or a parameter that is not registered.
        ContractError: Two objectives, or a value that does not fit.
    """
    if isinstance(word, Recipe):
        return word
    if isinstance(word, RecipePart):
        return Recipe((word,))
    if not isinstance(word, str):
        raise ContractError(f"expected a recipe as its text or as parts joined by +, got {short(word)}")
    return Recipe(tuple(_part(parse(text), data) for text in joined(word)))


def _part(spec: Spec, data: Any) -> RecipePart:
    if spec.file is None:
        entry = registry.get(spec.name)
        part = entry.build(registry.kind, _inner(resolved(spec.params, entry.words, data=data)))
    else:
        part = from_file(replace(spec, params={}))
        if not isinstance(part, RecipePart):
            part = Entry(f"{spec.file}:{spec.name}", part, "").build(
                registry.kind, resolved(spec.params, {"attack": "attack", "criterion": "criterion"}, data=data)
            )
    if not isinstance(part, RecipePart):
        raise ContractError(f"expected {spec.text!r} to be a part of a recipe, got {type(part).__name__}")
    return part


def _inner(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters, a part in the place of a recipe that is one part. Raises ContractError for several."""
    for key, value in params.items():
        if isinstance(value, Recipe):
            if len(value.parts) != 1:
                raise ContractError(
                    f"expected one part of a recipe for {key}, got {value}; join it outside the brackets"
                )
            params = {**params, key: value.parts[0]}
    return params
