"""Named things: a file registers what it adds, a lookup imports every file of the package once."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from vauban.core.errors import ContractError, UnknownName

T = TypeVar("T", bound=Callable[..., Any])


_ALL: list[Registry[Any]] = []


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A registered factory and the facts `vauban list` shows about it."""

    name: str
    make: T
    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def build(self, kind: str, params: Mapping[str, Any]) -> Any:
        """Call the factory; an unknown parameter is named together with the known ones."""
        known = list(inspect.signature(self.make).parameters)
        for key in params:
            if key not in known:
                raise UnknownName(f"parameter of {kind} {self.name!r}:", key, known)
        try:
            return self.make(**params)
        except (TypeError, ValueError) as error:
            raise ContractError(f"{kind} {self.name!r} cannot be made from {dict(params)}: {error}") from error


class Registry(Generic[T]):
    """A table from names to factories, filled by importing the modules below `package` at the first lookup."""

    def __init__(self, kind: str, package: str, check: Callable[[Entry[Any]], None] | None = None) -> None:
        self.kind = kind
        self._check = check
        self.package = package
        self._entries: dict[str, Entry[T]] = {}
        self._loaded = False
        _ALL.append(self)

    def register(self, name: str, **facts: Any) -> Callable[[T], T]:
        """Decorator: add a factory under `name`; a second one under a name is an error, the same one run again is not."""

        def add(make: T) -> T:
            if name in self._entries and _place(self._entries[name].make) != _place(make):
                raise ContractError(f"expected a new name, got {self.kind} {name!r}, which is registered already")
            summary = (inspect.getdoc(make) or "").split("\n")[0]
            entry = Entry(name, make, summary, facts)
            if self._check is not None:
                self._check(entry)
            self._entries[name] = entry
            return make

        return add

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = (
            True  # before the imports: a file that looks something up while it is imported must not start over
        )
        try:
            package = importlib.import_module(self.package)
            for module in pkgutil.walk_packages(package.__path__, self.package + "."):
                importlib.import_module(module.name)
        except BaseException:
            self._loaded = False
            raise

    def registered(self) -> list[Entry[T]]:
        """What has been registered so far, without importing more files."""
        return list(self._entries.values())

    def get(self, name: str) -> Entry[T]:
        self._load()
        if name not in self._entries:
            raise UnknownName(self.kind, name, self._entries)
        return self._entries[name]

    def names(self) -> list[str]:
        """In the order of the alphabet, numbers by their value: cia-2 before cia-10."""
        self._load()
        return sorted(self._entries, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])

    def __iter__(self) -> Iterator[Entry[T]]:
        self._load()
        return iter(self._entries[name] for name in self.names())


def _place(make: Callable[..., Any]) -> tuple[object, object]:
    """Where a factory was written: a notebook cell or a reloaded file defines the same one again."""
    return getattr(make, "__module__", None), getattr(make, "__qualname__", None)


def registered_as(make: object) -> str | None:
    """`kind name` of a registered thing among those registered so far; None for anything else."""
    for registry in _ALL:
        for entry in registry.registered():
            if entry.make is make:
                return f"{registry.kind} {entry.name}"
    return None


def registered_file(package: str, name: str) -> str | None:
    """The source file of what the face of a package shows under a name; None where its registries have no such thing."""
    for registry in _ALL:
        if registry.package == package:
            for entry in registry:
                if name in (entry.make.__name__, entry.name.replace("-", "_").replace(".", "_")):
                    return inspect.getsourcefile(inspect.unwrap(entry.make))
    return None
