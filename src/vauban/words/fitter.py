"""Fitters: what fits an attack, by the attack's name: `universal:eps=10/255,epochs=5`."""

from __future__ import annotations

import inspect
from typing import Any

from vauban import attacks
from vauban.attacks.parts.fitter import Fitter
from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError
from vauban.core.text import parse
from vauban.data import Dataset
from vauban.words.attack import arguments
from vauban.words.labels import display
from vauban.words.named import Named


@named_arguments
def load(word: Any, data: Dataset | None = None) -> Fitter:
    """What fits the attack of that name, as `fitter_of` takes it."""
    return fitter_of(word, data).value


def fitter_of(word: Any, data: Dataset | None = None) -> Named[Fitter]:
    """What fits an attack: the attack's name with the parameters of the fit, or an object with `fit`, `save` and `load`.

    Raises:
        UnknownName: No such attack is fitted, or a parameter is not known.
        ContractError: A value is refused, or an object fits nothing.
    """
    if isinstance(word, Named):
        return word
    if isinstance(word, str):
        spec = parse(word)
        entry = attacks.fitters.get(spec.name)
        given = arguments(entry, spec.params, data)
        return Named(display(spec, given.get("ball")), entry.build(attacks.fitters.kind, given))
    if not all(hasattr(word, method) for method in ("fit", "save", "load")) or inspect.isclass(word):
        raise ContractError(f"expected something that fits an attack, with fit, save and load, got {word!r}")
    return Named(type(word).__name__.lower(), word)
