"""Attacks by name: `pgd:eps=8/255,steps=40`, `restarts:attack=[pgd:steps=20],times=5`, `file.py:name`."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vauban import attacks
from vauban.attacks.foreign import Foreign, is_foreign, makes_attacks
from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, UnknownName
from vauban.core.norms import Ball, Norm, norm_by_name
from vauban.core.registry import Entry
from vauban.core.text import Spec, parse
from vauban.data import Dataset
from vauban.engine import Attack
from vauban.engine.attack import all_needs
from vauban.words.files import files_in, from_file, made
from vauban.words.labels import attack_label, display
from vauban.words.named import Named, instance, resolved

IMAGE = (1, 8, 8)
"""Shape of any image: what a battery runs depends on whether samples are images or vectors."""
WORDS = {"loss": "loss"}
"""What a parameter of an attack names by convention, beside what its registry entry declares."""


@named_arguments
def load(word: Any, data: Dataset | None = None, **params: Any) -> Any:
    """The attack that a text names, or an attack, checked.

    `norm` and `eps` make the ball.

    Args:
        word: A name with parameters, `file.py:name`, an attack, or what `attacks.Foreign` takes: a function from (model, x,
            y) to images, an attack object of another toolkit. In a file its budget is that of `norm` and `eps`.
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
        attack = instance(Foreign(word) if is_foreign(word) else word, "an attack or its name", Attack)
        return Named(attack_label(attack), attack)
    spec = parse(word)
    spec = replace(spec, params={**spec.params, **params})
    if spec.file is not None:
        attack = _users(spec, data)
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
    for key in given if facts and "ball" in known else ():
        if key not in {*known, "norm", "eps"}:
            raise UnknownName(f"parameter of attack {entry.name!r}:", key, [*list(known)[1:], "norm", "eps"])
    if "ball" in known and "ball" not in given and not (own and not {"norm", "eps"} & set(given)):
        norm = norm_by_name(str(given.pop("norm", (facts.get("norms") or ("linf",))[0])))
        if facts and norm.name not in facts.get("norms", (norm.name,)):
            raise ContractError(f"expected a norm among {', '.join(facts['norms'])}, got {norm.name}")
        eps = given.pop("eps", None if data is None else data.budgets.get(norm.name))
        if eps is None:
            giver = "no data set gives a" if data is None else "this data set has no"
            raise ContractError(f"expected eps=..., for example eps=8/255: {giver} conventional budget in {norm.name}")
        given["ball"] = _ball(norm, eps)
    elif "norm" in known and isinstance(given.get("norm"), str):
        given["norm"] = norm_by_name(given["norm"])
    return resolved(given, {**WORDS, **entry.words}, data=data)


def allowed_attacks(grants: frozenset[str]) -> list[str]:
    """Names of the registered attacks that a threat with these grants allows."""
    return [entry.name for entry in attacks.registry if _needs(entry, grants) <= {*grants, "nothing"}]


def _needs(entry: Entry[Any], grants: frozenset[str]) -> frozenset[str]:
    """What a registered attack needs, and the attacks that one runs which is a battery of others, under a threat."""
    own = frozenset({str(entry.facts.get("needs"))})
    battery = getattr(entry.make, "members", Attack.members) is not Attack.members and not entry.facts.get("combines")
    if not battery:
        return own
    as_it_runs = entry.make().under(grants, IMAGE)
    return all_needs(as_it_runs) | (own if type(as_it_runs) is entry.make else frozenset())


def _ball(norm: Norm, eps: Any) -> Ball:
    if not isinstance(eps, (int, float)) or isinstance(eps, bool) or not 0 <= eps < math.inf:
        raise ContractError(f"expected eps as a number from 0 up or a fraction like 8/255, got {eps!r}")
    return norm(float(eps))


def _users(spec: Spec, data: Dataset | None) -> Any:
    """The attack of a user's file: an object, what a class or a function makes, or a foreign one."""
    call = from_file(replace(spec, params={}))
    if not is_foreign(call) or makes_attacks(call, spec.params):
        return made(spec, lambda make: arguments(Entry(f"{spec.file}:{spec.name}", make, ""), spec.params, data))
    given = dict(spec.params)
    norm, eps = norm_by_name(str(given.pop("norm", "linf"))), given.pop("eps", None)
    if eps is None and "norm" in spec.params:
        raise ContractError(f"expected eps beside norm in {spec.text!r}, for example norm=linf,eps=8/255")
    known = inspect.signature(call).parameters
    given |= {key: spec.params[key] for key in ("norm", "eps") if key in known and key in spec.params}
    for key in given:
        if key not in known:
            raise UnknownName(f"parameter of attack {spec.name!r}:", key, [*list(known)[3:], "norm", "eps"])
    return Foreign(functools.partial(call, **given) if given else call, None if eps is None else _ball(norm, eps))


def _checked(attack: Any, word: str) -> Any:
    if inspect.isclass(attack) or not isinstance(attack, Attack):
        raise ContractError(f"expected the attack {word} to have start and step, or run, got {type(attack).__name__}")
    return attack
