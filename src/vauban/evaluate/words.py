"""The six words of an evaluation, from text or from objects: model, defence, data, threat, attack, goal."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn

from vauban import attacks, defences, models, threats
from vauban.attacks.fitted import Fitter
from vauban.core import spec as specs
from vauban.core.errors import ContractError, UnknownName
from vauban.core.goals import Goal, LeastLikely, RandomWrong, Targeted, Untargeted
from vauban.core.losses import loss_by_name
from vauban.core.norms import Ball, Norm, norm_by_name
from vauban.core.registry import Entry
from vauban.data import Dataset
from vauban.engine import Restarts, Search, Steps, Within
from vauban.engine.iterate import Runs

T = TypeVar("T")
COMBINATORS = {"restarts": ("times", "want"), "minimal-eps": ("rounds", "start", "growth")}
"""Outer loops that the command line knows, and their own parameters."""


@dataclass(frozen=True)
class Named(Generic[T]):
    """A value, what tables and reports call it, and the user's files that it was taken from."""

    name: str
    value: T
    files: tuple[Path, ...] = ()


def files_in(word: str) -> tuple[Path, ...]:
    """The Python files that a text names: `net.py:model`, `pgd:loss=mine.py:margin`."""
    found = (Path(name).expanduser() for name in re.findall(r"[^=+,:\s][^=+,:]*\.py(?=:)", word))
    return tuple(path for path in found if path.is_file())


def model_of(word: str | nn.Module | Named[nn.Module]) -> Named[nn.Module]:
    """A model by name, `file.py:name`, a weights file, or a module."""
    if isinstance(word, Named):
        return word
    if isinstance(word, str):
        return Named(word, models.load(word), files_in(word))
    return Named(type(word).__name__.lower(), word)


def defence_of(word: Any) -> Named[Any]:
    """A defence by name, a chain `a+b`, or an object with `wrap`."""
    if isinstance(word, str):
        return Named(word, defences.load(word), files_in(word))
    if isinstance(word, Named):
        return word
    if not hasattr(word, "wrap"):
        raise ContractError(f"expected the defence {word!r} to have a method wrap(module)")
    return Named(getattr(word, "name", type(word).__name__.lower()), word)


def threat_of(word: Any) -> Named[Any]:
    """A threat by name with parameters, `file.py:name`, or a recipe with `bind`."""
    if isinstance(word, Named):
        return word
    files: tuple[Path, ...] = ()
    name = ""
    if isinstance(word, str):
        spec = specs.parse(word)
        files, name = files_in(word), word if spec.file else _display(spec)
        word = _made(spec, lambda make, params: dict(params)) if spec.file else _threat(spec)
    if not hasattr(word, "bind") or inspect.isclass(word):
        raise ContractError(f"expected the threat {name or word!r} to be a recipe with bind(module, ...), got {word!r}")
    return Named(name or getattr(word, "name", type(word).__name__.lower()), word, files)


def _made(spec: specs.Spec, arguments: Callable[..., dict[str, Any]]) -> Any:
    """What a `file.py:name` stands for: an object, or what its class or function makes of the parameters."""
    found = specs.from_file(dataclasses.replace(spec, params={}))
    if inspect.isclass(found) or inspect.isroutine(found):
        return Entry(spec.text, found, "").build("object", arguments(found, spec.params))
    if spec.params:
        raise ContractError(f"expected a class to take the parameters of {spec.text!r}, got an instance")
    return found


def _threat(spec: specs.Spec) -> Any:
    """A registered threat; other networks (`sources`, `models`) are named, several joined by `+`; `path` is a defence."""
    params = dict(spec.params)
    for key in ("sources", "models"):
        if isinstance(params.get(key), str):
            params[key] = tuple(models.load(name.strip()) for name in params[key].split("+"))
    if isinstance(params.get("path"), str):
        params["path"] = defences.load(params["path"])
    return threats.registry.get(spec.name).build("threat", params)


def goal_of(word: str | Goal) -> Goal:
    """`untargeted`, `least-likely`, `random-wrong`, `targeted:3`, or a goal."""
    if not isinstance(word, str):
        return word
    head, _, rest = word.partition(":")
    simple: dict[str, Goal] = {"untargeted": Untargeted(), "least-likely": LeastLikely(), "random-wrong": RandomWrong()}
    if head in simple and not rest:
        return simple[head]
    if head == "targeted" and rest.isdigit():
        return Targeted(int(rest))
    raise UnknownName("goal", word, [*simple, "targeted:<class>"])


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
        found = _made(spec, lambda make, params: _arguments(make, params, {}, budgets))
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
    return Search(inner, "eps", **{"start": float(ball.radius), "growth": 2.0, **own})


def attack_facts(attack: Any) -> Mapping[str, Any]:
    """What the registry says of an attack's class, or of the one a combinator runs; empty for a user's own."""
    if isinstance(attack, (Restarts, Search, Within)):
        return {k: v for k, v in attack_facts(attack.attack).items() if k != "name"}
    for entry in attacks.registry:
        if entry.make is type(attack):
            return {"name": entry.name, **entry.facts}
    return {}


def allowed_attacks(grants: frozenset[str]) -> list[str]:
    """Names of the registered attacks that a threat with these grants allows."""
    return [entry.name for entry in attacks.registry if entry.facts.get("needs") in {*grants, "nothing"}]


def _checked(attack: Any, word: str) -> Any:
    if inspect.isclass(attack) or not isinstance(attack, (Steps, Runs)):
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
    rest = spec.text.partition(":")[2]
    if ball is not None and "eps" not in spec.params:
        rest = ",".join(filter(None, [rest, f"eps={fraction(float(ball.radius))}"]))
    return f"{spec.name}:{rest}" if rest else spec.name


def fraction(value: float) -> str:
    """A radius as people write it: 8/255 where it is a whole number of 8-bit levels, else four digits."""
    levels = value * 255
    return f"{round(levels)}/255" if 0 < levels <= 64 and abs(levels - round(levels)) < 1e-6 else f"{value:.4g}"


def _attack_label(attack: Any) -> str:
    name = attack_facts(attack).get("name", type(attack).__name__.lower())
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
        elif isinstance(value, (Steps, Runs)):
            shown.append(_attack_label(value))
    return f"{name}:{','.join(shown)}" if shown else str(name)
