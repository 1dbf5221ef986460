"""The six words of an evaluation, from text or from objects: model, defence, data, threat, attack, goal."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn

from vauban import defences, models, threats
from vauban.core import text as specs
from vauban.core.errors import ContractError, UnknownName
from vauban.core.goals import Goal, LeastLikely, RandomWrong, Targeted, Untargeted
from vauban.core.registry import Entry

T = TypeVar("T")


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
        files, name = files_in(word), word if spec.file else spec.shown()
        word = made(spec, lambda make, params: dict(params)) if spec.file else _threat(spec)
    if not hasattr(word, "bind") or inspect.isclass(word):
        raise ContractError(f"expected the threat {name or word!r} to be a recipe with bind(module, ...), got {word!r}")
    return Named(name or getattr(word, "name", type(word).__name__.lower()), word, files)


def made(spec: specs.Spec, arguments: Callable[..., dict[str, Any]]) -> Any:
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
