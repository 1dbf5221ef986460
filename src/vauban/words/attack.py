"""Attacks by name: `pgd:eps=8/255,steps=40`, `restarts:attack=[pgd:steps=20],times=5`, `file.py:name`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vauban import attacks
from vauban.core.errors import ContractError
from vauban.core.norms import norm_by_name
from vauban.core.registry import Entry
from vauban.core.text import parse
from vauban.data import Dataset
from vauban.engine import Attack
from vauban.words.files import files_in, made
from vauban.words.labels import attack_label, display
from vauban.words.named import Named, instance, resolved

WORDS = {"loss": "loss"}
"""What a parameter of an attack names by convention, beside what its registry entry declares."""


def load(word: Any, data: Dataset | None = None, **params: Any) -> Any:
    """The attack that a text names, or an attack, checked.

    `norm` and `eps` make the ball.

    Args:
        word: A name with parameters, `file.py:name`, or an attack.
        data: The data set whose conventional budget for the norm is taken where no eps is given, also in brackets.
        params: Parameters that come as objects, such as `ball`.

    Raises:
        UnknownName: A name or a parameter is not known.
        ContractError: A value is refused, or an object is no attack.
    """
    return attack_of(word, data, **params).value


def attack_of(word: Any, data: Dataset | None = None, **params: Any) -> Named[Any]:
    """An attack as `load` takes it, with its name."""
    if isinstance(word, Named):
        return Named(word.name, _checked(word.value, word.name), word.files)
    if not isinstance(word, str):
        attack = instance(word, "an attack or its name", Attack)
        return Named(attack_label(attack), attack)
    spec = parse(word)
    spec = replace(spec, params={**spec.params, **params})
    if spec.file is not None:
        attack = made(spec, lambda make: arguments(Entry(word, make, ""), spec.params, data))
        return Named(word, _checked(attack, word), files_in(word))
    entry = attacks.registry.get(spec.name)
    given = arguments(entry, spec.params, data)
    return Named(display(spec, given.get("ball")), entry.build("attack", given), files_in(word))


def arguments(entry: Entry[Any], params: Mapping[str, Any], data: Dataset | None) -> dict[str, Any]:
    """What an attack, or what fits one, is called with: the ball of `norm` and `eps`, a norm, and what is named.

    Args:
        entry: The factory; of a user's own without facts.
        params: As written.
        data: The data set that gives the conventional budget.

    Raises:
        ContractError: There is no eps, or the attack does not work in the norm.
    """
    known, facts, given = inspect.signature(entry.make).parameters, entry.facts, dict(params)
    default = known["ball"].default if "ball" in known else inspect.Parameter.empty
    own = default is None or (not facts and default is not inspect.Parameter.empty)  # a ball of its own unless told
    if "ball" in known and "ball" not in given and not (own and not {"norm", "eps"} & set(given)):
        norm = norm_by_name(str(given.pop("norm", (facts.get("norms") or ("linf",))[0])))
        if facts and norm.name not in facts.get("norms", (norm.name,)):
            raise ContractError(f"expected a norm among {', '.join(facts['norms'])}, got {norm.name}")
        eps = given.pop("eps", None if data is None else data.budgets.get(norm.name))
        if eps is None:
            giver = "no data set gives a" if data is None else "this data set has no"
            raise ContractError(f"expected eps=..., for example eps=8/255: {giver} conventional budget in {norm.name}")
        if not isinstance(eps, (int, float)) or isinstance(eps, bool) or not 0 <= eps < math.inf:
            raise ContractError(f"expected eps as a number from 0 up or a fraction like 8/255, got {eps!r}")
        given["ball"] = norm(float(eps))
    elif "norm" in known and isinstance(given.get("norm"), str):
        given["norm"] = norm_by_name(given["norm"])
    return resolved(given, {**WORDS, **entry.words}, data=data)


def allowed_attacks(grants: frozenset[str]) -> list[str]:
    """Names of the registered attacks that a threat with these grants allows."""
    return [entry.name for entry in attacks.registry if entry.facts.get("needs") in {*grants, "nothing"}]


def _checked(attack: Any, word: str) -> Any:
    if inspect.isclass(attack) or not isinstance(attack, Attack):
        raise ContractError(f"expected the attack {word} to have start and step, or run, got {type(attack).__name__}")
    return attack
