"""Threats by name: `adaptive:eot=16`, `transfer:sources=[a.safetensors][b.py:net]`, `file.py:name`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vauban import threats
from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, short
from vauban.core.text import parse
from vauban.words.files import files_in, made
from vauban.words.named import Named, instance, resolved


@named_arguments
def load(word: Any, **params: Any) -> Any:
    """The threat that a text names; parameters that are networks or defences are named in it, or come as objects.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: A value is refused, or an object has no `bind`.
    """
    return threat_of(word, **params).value


def threat_of(word: Any, **params: Any) -> Named[Any]:
    """A threat by name with parameters, `file.py:name`, or an object with `bind`."""
    if isinstance(word, Named):
        return word
    name = ""
    files: tuple[Path, ...] = ()
    if isinstance(word, str):
        spec = parse(word)
        spec = replace(spec, params={**spec.params, **params})
        name, files = word if spec.file else spec.shown(), files_in(word)
        if spec.file:
            word = made(spec, lambda make: resolved(spec.params, {}))
        else:
            entry = threats.registry.get(spec.name)
            word = entry.build("threat", resolved(spec.params, entry.words))
    word = instance(word, "a threat", defaults=True)
    if not hasattr(word, "bind"):
        raise ContractError(f"expected the threat {name or short(word)} to have bind(module, ...), got {short(word)}")
    return Named(name or getattr(word, "name", type(word).__name__.lower()), word, files)
