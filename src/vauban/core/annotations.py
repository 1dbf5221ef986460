"""Annotations of classes and functions as objects, with the ranges that stand in them."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, get_origin


@cache
def declared(owner: Any) -> Mapping[str, Any]:
    """Annotations of a class or a function by parameter, with their ranges, class variables left out."""
    hints = typing.get_type_hints(owner, _names_of(owner), include_extras=True)
    return {name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar and hint is not ClassVar}


def _names_of(owner: Any) -> dict[str, Any] | None:
    """Names that annotations of a class may use, gathered from its methods; None for those of its module.

    They are gathered where the module is not among the imported ones: a notebook's cell, an executed page.
    """
    if not inspect.isclass(owner) or (
        owner.__module__ in sys.modules and hasattr(sys.modules[owner.__module__], owner.__name__)
    ):
        return None
    names: dict[str, Any] = {}
    for base in reversed(inspect.getmro(owner)):
        names |= vars(sys.modules.get(base.__module__, types))
        for method in vars(base).values():
            names |= getattr(method, "__globals__", {}) if inspect.isfunction(method) else {}
    return names
