"""Face: a package as users see it, lazy and made from its registries.

A file that registers something is thereby on the face of its package, under its own name and in `dir()`; no list is edited.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from vauban.core.registry import Registry

_REGISTRIES, _EXTRAS, _ALIASES = "_face_registries", "_face_extras", "_face_aliases"


class Face(ModuleType):
    """Module whose attributes are what its registries hold, and some named extras, imported when first used.

    A submodule never hides a registered thing of the same name: `vauban.metrics.mad` is the metric, while
    `from vauban.metrics.mad import ...` still finds the file. `from vauban.metrics import *` takes what `dir()` lists.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return dir(self)
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        extras: Mapping[str, str] = self.__dict__[_EXTRAS]
        if name in extras:
            module, _, attribute = extras[name].partition(":")
            value: Any = importlib.import_module(module)
            value = getattr(value, attribute) if attribute else value
            self.__dict__[name] = value
            return value
        # The file of that name alone, where there is one: not every file of the package.
        submodule = _submodule(f"{self.__name__}.{name}")
        for shown, thing in _so_far(self) if submodule else _registered(self):
            if shown == name:
                return thing
        if submodule:
            return submodule
        names = dir(self)
        near = {folded.lower(): folded for folded in names}
        close = [near[n] for n in difflib.get_close_matches(name.lower(), near, n=3, cutoff=0.6)]
        hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(names)}"
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}; {hint}")

    def __setattr__(self, name: str, value: Any) -> None:
        submodule = isinstance(value, ModuleType) and value.__name__ == f"{self.__name__}.{name}"
        taken = {shown for shown, _ in _so_far(self)} | set(self.__dict__[_EXTRAS])
        if not (submodule and name in taken):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        own = [name for name, value in self.__dict__.items() if not name.startswith("_") and _own(self, value)]
        return sorted({*own, *self.__dict__[_EXTRAS], *(shown for shown, _ in _registered(self))})


def face(name: str, *registries: Registry[Any], extras: Mapping[str, str] | None = None, aliases: bool = False) -> None:
    """Make the package `name` the face of its registries.

    Args:
        name: The package's `__name__`.
        registries: Where its things are registered.
        extras: Further public names, each with the `module:attribute`, or the module, that it stands for.
        aliases: Whether a thing is also there under its registered name, written as an identifier: `threats.white_box`.
    """
    module = sys.modules[name]
    module.__dict__.update({_REGISTRIES: registries, _EXTRAS: dict(extras or {}), _ALIASES: aliases})
    module.__class__ = Face


def contents(module: ModuleType) -> list[tuple[str, str, str]]:
    """What a face shows, in the order of `dir()`: the name, the module that it is written in and its name there.

    A package that is shown whole has no name there. Registries are left out.
    """
    shown = {name: tuple(place.partition(":")[::2]) for name, place in module.__dict__[_EXTRAS].items()}
    for name, thing in _registered(module):
        shown.setdefault(name, (thing.__module__, thing.__name__))
    return [(name, *place) for name, place in sorted(shown.items())]


def file_of(package: str, name: str) -> str | None:
    """The source file of what the face of a package shows under a name; None for anything else."""
    module = importlib.import_module(package)
    if not isinstance(module, Face):
        return None
    place, _, attribute = module.__dict__[_EXTRAS].get(name, "").partition(":")
    if place:
        spec = importlib.util.find_spec(place) if attribute else None
        return None if spec is None else spec.origin
    thing = dict(_registered(module)).get(name)
    return None if thing is None else inspect.getsourcefile(inspect.unwrap(thing))


def names(package: str) -> frozenset[str]:
    """The names that the face of a package shows; none where the package is no face."""
    module = importlib.import_module(package)
    return frozenset(name for name, *_ in contents(module)) if isinstance(module, Face) else frozenset()


def identifier(name: str) -> str:
    """A registered name as an identifier: `white-box` is `white_box`."""
    return name.replace("-", "_").replace(".", "_")


def _registered(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """What the registries hold, every file of the package imported, by the names that are shown."""
    for registry in module.__dict__[_REGISTRIES]:
        registry.names()
    return _so_far(module)


def _so_far(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The same without importing more of the package."""
    for registry in module.__dict__[_REGISTRIES]:
        for entry in registry.registered():
            yield entry.make.__name__, entry.make
            if module.__dict__[_ALIASES]:
                yield identifier(entry.name), entry.make


def _submodule(name: str) -> ModuleType | None:
    """The submodule of that name, imported; None where there is no such file."""
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def _own(module: ModuleType, value: Any) -> bool:
    """Whether a value in the module's namespace was defined there rather than imported for its own use."""
    if isinstance(value, ModuleType):
        return False
    return isinstance(value, Registry) or getattr(value, "__module__", module.__name__) == module.__name__
