"""Named: a value with its name and the user's files that it was taken from; and parameters that are names themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from vauban import words
from vauban.core.errors import ContractError
from vauban.core.text import Bracketed

T = TypeVar("T")
LISTS = {"attacks": "attack", "defences": "defence", "models": "model"}
"""Kinds of parameters that take several names, with the kind of each."""


@dataclass(frozen=True)
class Named(Generic[T]):
    """A value, what tables and reports call it, and the user's files that it was taken from."""

    name: str
    value: T
    files: tuple[Path, ...] = ()


def resolved(params: Mapping[str, Any], kinds: Mapping[str, str], **options: Any) -> dict[str, Any]:
    """The parameters, objects in the place of those that are names.

    Args:
        params: As `core.text.parse` gives them, or objects.
        kinds: Kind by parameter, as a registry entry declares it.
        options: Handed on where an attack is read.

    Raises:
        ContractError: Several names where one is expected.
    """
    objects = dict(params)
    for key, value in params.items():
        kind = kinds.get(key)
        if kind is not None and isinstance(value, (str, Bracketed)):
            objects[key] = _named(key, kind, value, options)
    return objects


def _named(key: str, kind: str, value: str | Bracketed, options: Mapping[str, Any]) -> Any:
    texts = value.texts if isinstance(value, Bracketed) else (value,)
    if kind in LISTS:
        return tuple(_one(LISTS[kind], text, options) for text in texts)
    if len(texts) != 1:
        raise ContractError(f"expected one {kind} for {key}, got {len(texts)}: {value}")
    return _one(kind, texts[0], options)


def _one(kind: str, text: str, options: Mapping[str, Any]) -> Any:
    if kind == "file":
        return Path(text).expanduser()
    return words.load(kind, text, **(options if kind == "attack" else {}))
