"""Fitters: what fits an attack, a defence or a network, by its name: `universal:eps=10/255,epochs=5`, or `file.py:name`."""

from __future__ import annotations

import inspect
from typing import Any

from vauban import attacks, defences
from vauban.attacks.parts.fitter import Fitter
from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, UnknownName
from vauban.core.registry import Entry
from vauban.core.text import Spec, parse
from vauban.data import Dataset
from vauban.defences.fitter import DefenceFitter
from vauban.threats.fitter import NetworkFitter
from vauban.threats.fitter import fitters as network_fitters
from vauban.words.attack import arguments, attack_of
from vauban.words.files import files_in, made
from vauban.words.labels import display
from vauban.words.named import Named, resolved

AnyFitter = Fitter | DefenceFitter | NetworkFitter
METHODS = ("fit", "save", "load")


@named_arguments
def load(word: Any, data: Dataset | None = None) -> AnyFitter:
    """What fits the attack, the defence or the network of that name, as `fitter_of` takes it."""
    return fitter_of(word, data).value


def fitter_of(word: Any, data: Dataset | None = None) -> Named[AnyFitter]:
    """What fits an attack, a defence or a network: its name with the parameters of the fit, or an object that fits.

    A defence that learns from an attack's images learns from those of FGSM at the data's conventional budget, unless its
    parameters name another.

    Raises:
        UnknownName: Nothing of that name is fitted, or a parameter is not known.
        ContractError: A value is refused, or an object fits nothing.
    """
    if isinstance(word, Named):
        return word
    if not isinstance(word, str):
        return Named(type(word).__name__.lower(), _checked(word))
    spec = parse(word)
    if spec.file is not None:
        return Named(word, _checked(made(spec, lambda make: dict(spec.params))), files_in(word))
    return _registered(spec, data)


def _registered(spec: Spec, data: Dataset | None) -> Named[AnyFitter]:
    known: dict[str, Entry[Any]] = {
        entry.name: entry for entry in (*defences.fitters, *network_fitters, *attacks.fitters)
    }
    if spec.name not in known:
        raise UnknownName("attack, defence or network to fit", spec.name, sorted(known))
    entry = known[spec.name]
    for registry in (defences.fitters, network_fitters):
        if spec.name in registry.names():
            usual = {key: attack_of("fgsm", data).value for key, kind in entry.words.items() if kind == "attack"}
            return Named(spec.shown(), entry.build(registry.kind, {**usual, **resolved(spec.params, entry.words)}))
    given = arguments(entry, spec.params, data)
    return Named(display(spec, given.get("ball")), entry.build(attacks.fitters.kind, given))


def _checked(word: Any) -> Any:
    if isinstance(word, NetworkFitter):
        return word
    if not all(hasattr(word, method) for method in METHODS) or inspect.isclass(word):
        raise ContractError(
            f"expected something that fits an attack or a defence, with fit, save and load, got {word!r}"
        )
    return word
