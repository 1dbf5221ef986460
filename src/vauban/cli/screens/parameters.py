"""Parameters of registered things: names, defaults and ranges, and one thing explained."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import vauban
from vauban.core.annotations import declared
from vauban.core.errors import UnknownName
from vauban.core.losses import LOSSES
from vauban.core.norms import Ball, Norm
from vauban.core.parameters import describe
from vauban.core.registry import Entry
from vauban.core.text import written

PLACES = frozenset({"split", "place"})  # what a name of data carries in other ways


def parameters_of(entry: Entry[Any]) -> list[dict[str, str]]:
    """Name, default and range of each parameter, as text; a ball is told as the `norm` and `eps` that make it."""
    hints = declared(entry.make)
    return [
        row
        for parameter in inspect.signature(entry.make).parameters.values()
        if parameter.name not in PLACES and parameter.kind is not inspect.Parameter.VAR_KEYWORD
        for row in _rows(entry, parameter, hints)
    ]


def _rows(entry: Entry[Any], parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    default = parameter.default
    if parameter.name == "ball":
        norms = entry.facts.get("norms") or ("linf", "l2", "l1")
        eps = f"{float(default.radius):.4g}" if isinstance(default, Ball) else "none"
        yield {"name": "norm", "default": str(norms[0]), "range": f"one of {', '.join(norms)}"}
        yield {"name": "eps", "default": f"that of the data set, in Python {eps}", "range": "a number of at least 0"}
        return
    wanted = describe(hints[parameter.name]) if parameter.name in hints else "anything"
    if parameter.name == "loss" and wanted == "a function":
        wanted = f"one of {', '.join(LOSSES)}, or file.py:name"
    yield {"name": parameter.name, "default": _default(default), "range": wanted}


def _below_package(file: Path) -> str:
    """Where a file is, from the package on; of a user's file its name."""
    package = Path(vauban.__file__).parent
    return file.relative_to(package.parent).as_posix() if file.is_relative_to(package) else file.name


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "needed"
    if isinstance(value, Norm):
        return value.name
    if callable(value):
        known = [name for name, loss in LOSSES.items() if loss is value]
        return known[0] if known else str(getattr(value, "__name__", value))
    return written(value) if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def explained(name: str, registries: Mapping[str, Any]) -> str:
    """What is registered under a name: its docstring, its parameters and its source file.

    Raises:
        UnknownName: There is neither a list nor a thing of that name.
    """
    entries = [(registry.kind, entry) for registry in registries.values() for entry in registry if entry.name == name]
    if not entries:
        known = [entry.name for registry in registries.values() for entry in registry]
        raise UnknownName("list or name", name, [*registries, "losses", *known])
    if len(entries) == 1:
        return _explained(entries[0][1], name)
    return "\n\n".join(_explained(entry, f"{name} ({kind})") for kind, entry in entries)


def _explained(entry: Entry[Any], head: str) -> str:
    rows = parameters_of(entry)
    width = max((len(row["name"]) for row in rows), default=0)
    lines = [f"  {row['name']:<{width}}  {row['default']} ({row['range']})" for row in rows]
    file = inspect.getsourcefile(inspect.unwrap(entry.make))
    place = "" if file is None else _below_package(Path(file))
    return "\n".join([head, "", inspect.getdoc(entry.make) or "", "", "Parameters:", *lines, "", f"Source: {place}"])
