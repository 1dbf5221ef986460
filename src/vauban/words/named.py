"""Named: a value with its name and the user's files that it was taken from; and parameters that are names themselves."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from vauban import words
from vauban.core.errors import ContractError, short
from vauban.core.text import Bracketed, parse_value

T = TypeVar("T")
LISTS = {"attacks": "attack", "defences": "defence", "models": "model"}
"""Kinds of parameters that take several names, with the kind of each."""


@dataclass(frozen=True)
class Named(Generic[T]):
    """A value and where it comes from.

    Attributes:
        name: What tables and reports call it.
        value: The object.
        files: The user's files that it was taken from.
        network: Of a model that was named, the network below the defences; None where they are part of it.
        behind: Of a model from a weights file, the defence that it was trained behind and that is not in front of it.
        recipe: Of a model from a weights file, the recipe that it was trained by, as a text; "" where none is known.
        fitted: Files of the defence `behind`, as it names them, each with its SHA-256; "" where that is not known.
    """

    name: str
    value: T
    files: tuple[Path, ...] = ()
    network: Any = None
    behind: str = "none"
    recipe: str = ""
    fitted: Mapping[str, str] = field(default_factory=dict)


def instance(word: Any, kind: str, of: type | None = None, defaults: bool = False) -> Any:
    """An object, or what its class makes.

    Args:
        word: An object, or a class.
        kind: What the message calls it.
        of: The class that it should have; None: any.
        defaults: Whether a class is taken at its defaults; else only one without parameters is.

    Raises:
        ContractError: A class with parameters, which has to be called, or another object.
    """
    if inspect.isclass(word) and (of is None or issubclass(word, of)):
        known = _parameters(word)
        missing = [f"{p.name}=..." for p in known if p.default is inspect.Parameter.empty]
        if missing or (known and not defaults):
            name, first = word.__name__, ", ".join(missing or [f"{p.name}=..." for p in known[:2]])
            own = "" if missing else f", or {name}() for its defaults"
            raise ContractError(f"expected {kind}, got the class {name}; call it: {name}({first}){own}")
        return word()
    if of is not None and not isinstance(word, of):
        raise ContractError(f"expected {kind}, got {short(word)}")
    return word


def _parameters(made: type) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p for p in inspect.signature(made).parameters.values() if p.kind in kinds]


def resolved(params: Mapping[str, Any], kinds: Mapping[str, str], **options: Any) -> dict[str, Any]:
    """The parameters, objects in the place of those that are names.

    Args:
        params: As `core.text.parse` gives them, or objects.
        kinds: Kind by parameter, as a registry entry declares it.
        options: Handed on where an attack or a recipe is read.

    Raises:
        ContractError: Several names where one is expected.
    """
    objects = dict(params)
    for key, value in params.items():
        kind = kinds.get(key)
        if kind == "key" or (kind is not None and isinstance(value, (str, Bracketed))):  # no key is given as a number
            objects[key] = _named(key, kind, value, options)
    return objects


def _named(key: str, kind: str, value: Any, options: Mapping[str, Any]) -> Any:
    texts = value.texts if isinstance(value, Bracketed) else (value,)
    if kind == "numbers":
        return _numbers(key, texts)
    if kind == "texts":
        return texts
    if kind in LISTS:
        return tuple(_one(LISTS[kind], text, options) for text in texts)
    if len(texts) != 1:
        raise ContractError(f"expected one {kind} for {key}, got {len(texts)}: {value}")
    return _one(kind, texts[0], options)


def _numbers(key: str, texts: tuple[str, ...]) -> tuple[float, ...]:
    values = [parse_value(text) for text in texts]
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        raise ContractError(f"expected {key} as a number, or several like [0.5][0.4][0.4], got {texts}")
    return tuple(float(value) for value in values)


def _one(kind: str, text: str, options: Mapping[str, Any]) -> Any:
    if kind == "file":
        return Path(text).expanduser()
    return words.load(kind, text, **(options if kind in ("attack", "recipe") else {}))
