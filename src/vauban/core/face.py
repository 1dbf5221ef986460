"""Face: a package as users see it, lazy and made from its registries.

A file that registers something is thereby on the face of its package, under its own name and in `dir()`; no list is edited.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from vauban.core.registry import Registry

_REGISTRIES, _EXTRAS, _ALIASES = "_face_registries", "_face_extras", "_face_aliases"


class Face(ModuleType):
    """Module whose attributes are what its registries hold, and some named extras, imported when first used.

    A submodule never hides a registered thing of the same name: `vauban.metrics.mad` is the metric, while
    `from vauban.metrics.mad import ...` still finds the file.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        extras: Mapping[str, str] = self.__dict__[_EXTRAS]
        if name in extras:
            module, _, attribute = extras[name].partition(":")
            value = getattr(importlib.import_module(module), attribute)
            self.__dict__[name] = value
            return value
        for shown, thing in _registered(self):
            if shown == name:
                return thing
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}; it has {', '.join(dir(self))}")

    def __setattr__(self, name: str, value: Any) -> None:
        submodule = isinstance(value, ModuleType) and value.__name__ == f"{self.__name__}.{name}"
        if not (submodule and name in _names_so_far(self)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        own = [name for name, value in self.__dict__.items() if not name.startswith("_") and _own(self, value)]
        return sorted({*own, *self.__dict__[_EXTRAS], *(shown for shown, _ in _registered(self))})


def face(name: str, *registries: Registry[Any], extras: Mapping[str, str] | None = None, aliases: bool = False) -> None:
    """Make the package `name` the face of its registries.

    Args:
        name: The package's `__name__`.
        registries: Where its things are registered.
        extras: Further public names, each with the `module:attribute` it stands for.
        aliases: Whether a thing is also there under its registered name, written as an identifier: `threats.white_box`.
    """
    module = sys.modules[name]
    module.__dict__.update({_REGISTRIES: registries, _EXTRAS: dict(extras or {}), _ALIASES: aliases})
    module.__class__ = Face


def identifier(name: str) -> str:
    """A registered name as an identifier: `white-box` is `white_box`."""
    return name.replace("-", "_").replace(".", "_")


def _registered(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for registry in module.__dict__[_REGISTRIES]:
        for entry in registry:
            yield entry.make.__name__, entry.make
            if module.__dict__[_ALIASES]:
                yield identifier(entry.name), entry.make


def _names_so_far(module: ModuleType) -> set[str]:
    """Names that a submodule must not take, without importing more of the package."""
    known = [entry for registry in module.__dict__[_REGISTRIES] for entry in registry.registered()]
    names = {entry.make.__name__ for entry in known} | set(module.__dict__[_EXTRAS])
    return names | ({identifier(entry.name) for entry in known} if module.__dict__[_ALIASES] else set())


def _own(module: ModuleType, value: Any) -> bool:
    """Whether a value in the module's namespace was defined there rather than imported for its own use."""
    if isinstance(value, ModuleType):
        return False
    return isinstance(value, Registry) or getattr(value, "__module__", module.__name__) == module.__name__
