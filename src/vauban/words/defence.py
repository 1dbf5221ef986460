"""Defences by name: `none`, `jpeg:quality=50`, `bit-depth+jpeg`, `file.py:name`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from vauban import defences
from vauban.core.annotations import declared
from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, short
from vauban.core.secret import Secret
from vauban.core.text import Spec, joined, parse
from vauban.core.users_call import call_users
from vauban.defences.base import Defence
from vauban.defences.compose import Chain, UserDefence, chain
from vauban.defences.keyed.base import KeyedDefence
from vauban.words.files import files_in, from_file
from vauban.words.labels import with_base_names
from vauban.words.named import Named, instance, resolved

TRAINED = "trained"
"""Name of the defence that a model's weights file says it was trained behind."""


@named_arguments
def load(word: str | Defence, **params: Any) -> Defence:
    """The defence that a text names; several joined by `+` are a chain, `none` is the empty one.

    A `file.py:name` is an object with `.wrap` and `.name`, a class of such objects, or a function from module to module.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: A value is refused, or an object is no defence.
    """
    if not isinstance(word, str):
        made: Defence = defence_of(word).value
        return made
    specs = [parse(part) for part in joined(word)]
    for spec in specs:
        _check_known(spec, word)
    return chain(*(_one(spec, params) for spec in specs))


def defence_of(word: Any) -> Named[Any]:
    """A defence by name, a chain `a+b`, or an object with `wrap`."""
    if word == TRAINED:
        return Named(TRAINED, None)
    if isinstance(word, str):
        return Named(with_base_names(word), load(word), files_in(word))
    if isinstance(word, Named):
        return word
    word = instance(word, "a defence")
    if not hasattr(word, "wrap"):
        raise ContractError(
            f"expected a defence as an object with wrap(module) or a name, got {short(word)}; a function from module to "
            "module is named by its file, file.py:name; a network with its defence inside is a model"
        )
    return Named(getattr(word, "name", type(word).__name__.lower()), word)


def _check_known(spec: Spec, word: str) -> None:
    """Raises UnknownName where a part of a chain is none, before one is made; a plus in a value may have parted it."""
    if spec.file is not None or spec.name in ("none", TRAINED):
        return
    if "." in spec.name and "+" in word:
        raise ContractError(
            f"expected defences joined by +, got {spec.name!r}; a + inside a value stands in quotes, as in file='a+b'"
        )
    defences.registry.get(spec.name)


def _one(spec: Spec, params: dict[str, Any]) -> Defence:
    if spec.file is not None:
        return _users(replace(spec, params={**spec.params, **params}))
    if spec.name == "none" and not spec.params:
        return Chain()
    if spec.name == TRAINED:
        raise ContractError(
            "expected 'trained' alone in front of a model from a weights file, got it elsewhere; name the defence itself"
        )
    entry = defences.registry.get(spec.name)
    made: Defence = entry.build("defence", resolved({**spec.params, **params}, entry.words))
    return made


def _users(spec: Spec) -> Defence:
    named = from_file(replace(spec, params={}))
    if isinstance(named, type) and hasattr(named, "wrap"):
        keyed = issubclass(named, KeyedDefence)
        keys = {name: "key" for name, hint in (declared(named) if keyed else {}).items() if hint is Secret}
        named = call_users(spec.text, named, resolved(spec.params, keys))
    elif not hasattr(named, "wrap") and callable(named) and not isinstance(named, nn.Module):
        return UserDefence(spec.text, named, dict(spec.params))
    elif spec.params:
        raise ContractError(f"expected a class or a function to take the parameters of {spec.text!r}, got {named!r}")
    if not isinstance(named, Defence):
        raise ContractError(
            f"expected {spec.text!r} to be a function from module to module or an object with .wrap and .name, "
            f"got {type(named).__name__}"
        )
    return named
