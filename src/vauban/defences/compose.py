"""Chains of defences, and defences read from text: `none`, `jpeg:quality=50`, `bit-depth+jpeg`, `file.py:name`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from vauban.core.errors import ContractError
from vauban.core.text import Spec, from_file, parse
from vauban.defences.base import Defence, check_module, registry


@dataclass(frozen=True)
class Chain:
    """Defences in the order in which an image meets them: the first is outermost. No parts: no defence."""

    parts: tuple[Defence, ...] = ()

    @property
    def name(self) -> str:
        return "+".join(part.name for part in self.parts) or "none"

    def wrap(self, module: nn.Module) -> nn.Module:
        """a.wrap(b.wrap(module)) for parts (a, b); the module itself for none."""
        check_module(module)
        for part in reversed(self.parts):
            module = part.wrap(module)
        return module


@dataclass(frozen=True)
class UserDefence:
    """A user's `function(module, **params) -> module`, or a `Defended` subclass built the same way."""

    name: str
    function: Callable[..., nn.Module]
    params: dict[str, Any] = field(default_factory=dict, hash=False)

    def wrap(self, module: nn.Module) -> nn.Module:
        try:
            wrapped = self.function(check_module(module), **self.params)
        except TypeError as error:
            raise ContractError(f"defence {self.name!r} cannot be made: {error}") from error
        if not isinstance(wrapped, nn.Module):
            raise ContractError(
                f"expected defence {self.name!r} to return a torch.nn.Module, got {type(wrapped).__name__}"
            )
        return wrapped


def chain(*parts: Defence) -> Defence:
    """The defences one behind the other; an image meets the first one first."""
    links: list[Defence] = []
    for part in parts:
        links.extend(part.parts if isinstance(part, Chain) else (part,))
    return links[0] if len(links) == 1 else Chain(tuple(links))


def load(text: str) -> Defence:
    """The defence a text names; several joined by `+` are a chain, `none` is the empty one.

    A `file.py:name` is an object with `.wrap` and `.name`, a class of such objects, or a function from module to
    module. Raises UnknownName for names and parameters, ContractError for values.
    """
    head = text.partition(".py:")[0] + ".py"
    # A plus sign inside one user's file name, or in a number such as 1e+3, joins nothing.
    pieces = [text] if Path(head).expanduser().is_file() else re.split(r"\+(?!\d)", text)
    return chain(*(_one(parse(piece.strip())) for piece in pieces))


def _one(spec: Spec) -> Defence:
    if spec.file is not None:
        return _users(spec)
    if spec.name == "none" and not spec.params:
        return Chain()
    made: Defence = registry.get(spec.name).build("defence", spec.params)
    return made


def _users(spec: Spec) -> Defence:
    found = from_file(replace(spec, params={}))
    if isinstance(found, type) and hasattr(found, "wrap"):
        found = from_file(spec) if spec.params else found()
    elif not hasattr(found, "wrap") and callable(found) and not isinstance(found, nn.Module):
        return UserDefence(spec.text, found, spec.params)
    elif spec.params:
        raise ContractError(f"expected a class or a function to take the parameters of {spec.text!r}, got {found!r}")
    if not isinstance(found, Defence):
        raise ContractError(
            f"expected {spec.text!r} to be a function from module to module or an object with .wrap and .name, "
            f"got {type(found).__name__}"
        )
    return found
