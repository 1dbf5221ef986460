"""The word for an attack, from text or from an object: names, parameters, combinators, and what is fitted."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from typing import Any

from vauban import attacks
from vauban.attacks.parts.fitter import Fitter
from vauban.core import text as specs
from vauban.core.errors import ContractError
from vauban.core.losses import loss_by_name
from vauban.core.norms import Ball, Norm, norm_by_name
from vauban.data import Dataset
from vauban.engine import Attack, Bisection, Restarts, Steps
from vauban.words.named import Named, files_in, made

COMBINATORS = {"restarts": ("times", "want"), "minimal-eps": ("rounds", "start", "growth")}
"""Outer loops that the command line knows, and their own parameters."""


def attack_of(word: Any, data: Dataset | None = None) -> Named[Any]:
    """An attack by name with parameters, `file.py:name`, or an object.

    `norm` and `eps` make the ball; without an eps the data set's conventional budget for the norm is taken.
    """
    if isinstance(word, Named):
        return Named(word.name, _checked(word.value, word.name), word.files)
    if not isinstance(word, str):
        return Named(_attack_label(word), _checked(word, repr(word)))
    spec = specs.parse(word)
    budgets = data.budgets if data is not None else {}
    if spec.file is not None:
        found = made(spec, lambda make, params: _arguments(make, params, {}, budgets))
        return Named(word, _checked(found, word), files_in(word))
    if spec.name in COMBINATORS:
        return Named(word, _combined(spec, data), files_in(word))
    entry = attacks.registry.get(spec.name)
    params = _arguments(entry.make, spec.params, entry.facts, budgets)
    return Named(_display(spec, params.get("ball")), entry.build("attack", params), files_in(word))


def fitter_of(word: Any, data: Dataset | None = None) -> Named[Fitter]:
    """What fits an attack: the attack's name with the parameters of the fit, or an object with `fit`, `save` and `load`."""
    if isinstance(word, Named):
        return word
    if isinstance(word, str):
        spec = specs.parse(word)
        entry = attacks.fitters.get(spec.name)
        params = _arguments(entry.make, spec.params, entry.facts, data.budgets if data is not None else {})
        return Named(_display(spec, params.get("ball")), entry.build(attacks.fitters.kind, params))
    if not all(hasattr(word, method) for method in ("fit", "save", "load")) or inspect.isclass(word):
        raise ContractError(f"expected something that fits an attack, with fit, save and load, got {word!r}")
    return Named(type(word).__name__.lower(), word)


def _combined(spec: specs.Spec, data: Dataset | None) -> Any:
    """`restarts:attack=pgd,times=5,...` and `minimal-eps:attack=fgsm,rounds=9,...`; other parameters are the attack's.

    minimal-eps is the smallest eps at which the attack succeeds, per sample, by doubling and bisection from its budget.
    """
    params = dict(spec.params)
    own = {key: params.pop(key) for key in COMBINATORS[spec.name] if key in params}
    name = str(params.pop("attack", "pgd"))
    inner = attack_of(":".join(filter(None, [name, ",".join(f"{k}={v}" for k, v in params.items())])), data).value
    if spec.name == "restarts":
        return Restarts(inner, **own)
    ball = getattr(inner, "ball", None)
    if not isinstance(inner, Steps) or not isinstance(ball, Ball):
        raise ContractError(f"expected minimal-eps around a step attack inside a ball such as pgd, got {name!r}")
    return Bisection(inner, "eps", **{"start": float(ball.radius), "growth": 2.0, **own})


def registered_name(attack: Attack) -> str | None:
    """The name under which an attack's class is registered; None for a user's own."""
    return next((entry.name for entry in attacks.registry if entry.make is type(attack)), None)


def allowed_attacks(grants: frozenset[str]) -> list[str]:
    """Names of the registered attacks that a threat with these grants allows."""
    return [entry.name for entry in attacks.registry if entry.facts.get("needs") in {*grants, "nothing"}]


def _checked(attack: Any, word: str) -> Any:
    if inspect.isclass(attack) or not isinstance(attack, Attack):
        raise ContractError(f"expected the attack {word} to have start and step, or run, got {type(attack).__name__}")
    return attack


def _arguments(
    make: Any, params: Mapping[str, Any], facts: Mapping[str, Any], budgets: Mapping[str, float]
) -> dict[str, Any]:
    known, out = inspect.signature(make).parameters, dict(params)
    default = known["ball"].default if "ball" in known else inspect.Parameter.empty
    own = default is None or (not facts and default is not inspect.Parameter.empty)  # a ball of its own unless told
    if "ball" in known and "ball" not in out and not (own and not {"norm", "eps"} & set(out)):
        norm = norm_by_name(str(out.pop("norm", (facts.get("norms") or ("linf",))[0])))
        if facts and norm.name not in facts.get("norms", (norm.name,)):
            raise ContractError(f"expected a norm among {', '.join(facts['norms'])}, got {norm.name}")
        eps = out.pop("eps", budgets.get(norm.name))
        if eps is None:
            raise ContractError(
                f"expected eps=..., for example eps=8/255: this data set has no conventional budget in {norm.name}"
            )
        if not isinstance(eps, (int, float)) or isinstance(eps, bool) or not 0 <= eps < math.inf:
            raise ContractError(f"expected eps as a number from 0 up or a fraction like 8/255, got {eps!r}")
        out["ball"] = norm(float(eps))
    elif "norm" in known and isinstance(out.get("norm"), str):
        out["norm"] = norm_by_name(out["norm"])
    if "loss" in known and isinstance(out.get("loss"), str):
        out["loss"] = _loss(out["loss"])
    return out


def _loss(text: str) -> Any:
    """A loss by name, or a user's function or class (made without arguments) by `file.py:name`."""
    if ".py:" not in text:
        return loss_by_name(text)
    found = specs.from_file(specs.parse(text))
    return found() if inspect.isclass(found) else found


def _display(spec: specs.Spec, ball: Ball | None = None) -> str:
    """The text of an attack, with the radius of its ball where the data set gave it."""
    if ball is None or "eps" in spec.params:
        return spec.shown()
    return spec.shown(f"eps={fraction(float(ball.radius))}")


def fraction(value: float) -> str:
    """A radius as people write it: 8/255 where it is a whole number of 8-bit levels, else four digits."""
    levels = value * 255
    return f"{round(levels)}/255" if 0 < levels <= 64 and abs(levels - round(levels)) < 1e-6 else f"{value:.4g}"


def _attack_label(attack: Any) -> str:
    name = registered_name(attack) or type(attack).__name__.lower()
    if not dataclasses.is_dataclass(attack):
        return str(name)
    shown = []
    for f in dataclasses.fields(attack):
        value = getattr(attack, f.name)
        if isinstance(value, Ball) and isinstance(value.radius, (int, float)):
            shown += [f"norm={value.norm.name}", f"eps={fraction(float(value.radius))}"]
        elif isinstance(value, (int, float, str, bool)) and value != f.default:
            shown.append(f"{f.name}={value:g}" if isinstance(value, float) else f"{f.name}={value}")
        elif isinstance(value, Norm):
            shown.append(f"{f.name}={value.name}")
        elif isinstance(value, Attack):
            shown.append(_attack_label(value))
    return f"{name}:{','.join(shown)}" if shown else str(name)
