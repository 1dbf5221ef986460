"""Registries of named things: a file registers what it adds, a lookup imports every file of the package once."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from vauban.core.errors import ContractError, UnknownName
from vauban.core.parameters import Parameters, check_arguments, checked_calls, shortened
from vauban.core.text import Bracketed

T = TypeVar("T", bound=Callable[..., Any])


_ALL: list[Registry[Any]] = []


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A registered factory with what is declared about it.

    Attributes:
        name: The name users write.
        make: The factory: a class or a function.
        summary: The first line of its docstring.
        facts: What the registration declares; `vauban list` shows it.
        words: Parameters that are words themselves, each with its kind: `{"sources": "models"}`. Kinds are those of
            `vauban.words.load`, "file", "numbers" and "texts"; a plural takes a list `[a][b]`.
    """

    name: str
    make: T
    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def build(self, kind: str, params: Mapping[str, Any]) -> Any:
        """Call the factory.

        Args:
            kind: The kind of the thing, as messages call it.
            params: Parameters by name.

        Raises:
            UnknownName: A parameter is not one of the factory's, which are named.
            ContractError: The factory refuses the parameters.
        """
        declared = inspect.signature(self.make).parameters
        known = list(declared)
        for key in params:
            if key not in known:
                raise UnknownName(f"parameter of {kind} {self.name!r}:", key, known)
            if isinstance(params[key], Bracketed):
                raise ContractError(
                    f"expected a value without brackets for {key}, which names nothing, got {params[key]}"
                )
        required = [p for p in inspect.signature(self.make).parameters.values() if p.default is inspect.Parameter.empty]
        missing = [p.name for p in required if p.name not in params and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if missing:
            values = ",".join(
                f"{name}={'[...][...]' if self.words.get(name, '').endswith('s') else '...'}" for name in missing
            )
            raise ContractError(f"{kind} {self.name!r} needs {', '.join(missing)}; write {self.name}:{values}")
        if not (inspect.isclass(self.make) and issubclass(self.make, Parameters)):  # those look at themselves
            check_arguments(self.name, self.make, params)
        try:
            return self.make(**params)
        except (TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
            reason = str(error).strip().split("\n")[0]
            raise ContractError(
                f"{kind} {self.name!r} cannot be made from {shortened(dict(params))}: {reason}"
            ) from error


class Registry(Generic[T]):
    """Table from names to factories, filled by importing the modules below a package at the first lookup.

    Args:
        kind: The kind of its things, as messages call it.
        package: The package whose modules register them.
        check: Called with every new entry; it raises ContractError where the entry declares too little.
        also: Further packages whose modules register them.
    """

    def __init__(
        self, kind: str, package: str, check: Callable[[Entry[Any]], None] | None = None, also: tuple[str, ...] = ()
    ) -> None:
        self.kind = kind
        self._check = check
        self.package = package
        self.packages = (package, *also)
        self._entries: dict[str, Entry[T]] = {}
        self._loaded = False
        _ALL.append(self)

    def register(self, name: str, *, words: Mapping[str, str] | None = None, **facts: Any) -> Callable[[T], T]:
        """Decorator that adds a factory; calls of a function are checked as by `core.parameters.checked_calls`.

        Args:
            name: The name users write.
            words: Parameters that are words themselves, as in `Entry`.
            facts: What is declared about it.

        Raises:
            ContractError: Another factory has the name. The same one, defined again, replaces itself.
        """

        def add(make: T) -> T:
            make = cast("T", checked_calls(make.__name__, make)) if inspect.isfunction(make) else make
            if name in self._entries and _origin(self._entries[name].make) != _origin(make):
                raise ContractError(f"expected a new name, got {self.kind} {name!r}, which is registered already")
            summary = (inspect.getdoc(make) or "").split("\n")[0]
            entry = Entry(name, make, summary, facts, words or {})
            if self._check is not None:
                self._check(entry)
            self._entries[name] = entry
            return make

        return add

    def _load(self) -> None:
        """Import the modules below the package, once."""
        if self._loaded:
            return
        # before the imports: a file that looks something up while it is imported must not start over
        self._loaded = True
        try:
            for name in self.packages:
                package = importlib.import_module(name)
                for module in pkgutil.walk_packages(package.__path__, name + "."):
                    importlib.import_module(module.name)
        except BaseException:
            self._loaded = False
            raise

    def registered(self) -> list[Entry[T]]:
        """The entries registered so far, without importing more files."""
        return list(self._entries.values())

    def get(self, name: str) -> Entry[T]:
        """The entry of a name. Raises UnknownName."""
        self._load()
        if name not in self._entries:
            raise UnknownName(self.kind, name, self._entries)
        return self._entries[name]

    def names(self) -> list[str]:
        """All names in the order of the alphabet, numbers by their value: cia-2 before cia-10."""
        self._load()
        return sorted(self._entries, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])

    def __iter__(self) -> Iterator[Entry[T]]:
        self._load()
        return iter(self._entries[name] for name in self.names())


def _origin(make: Callable[..., Any]) -> tuple[object, object]:
    """Place and name of a factory's definition, which a notebook cell or a file that is read again repeats."""
    module = getattr(make, "__module__", None)
    return getattr(sys.modules.get(str(module)), "__file__", module), getattr(make, "__qualname__", None)


def registration(make: object) -> tuple[Registry[Any], str] | None:
    """The registry that a thing is in and its name there, among those registered so far; None for anything else."""
    held = ((registry, entry) for registry in _ALL for entry in registry.registered())
    return next(((registry, entry.name) for registry, entry in held if entry.make is make), None)


def registered_as(make: object) -> str | None:
    """`kind name` of a registered thing among those registered so far; None for anything else.

    A thing of ours that another package registers (a combinator of the engine) goes by its own name: whether that package
    has been imported must not tell.
    """
    known = registration(make)
    if known is None:
        return None
    registry, name = known
    module = str(make.__module__)
    ours = module.split(".")[0] == registry.package.split(".")[0]
    return f"{registry.kind} {name}" if module.startswith(registry.packages) or not ours else None
