"""The public surface: names and signatures of `vauban` and its public packages, as api_surface.json keeps them.

`python tests/test_api_surface.py` writes the file anew.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).with_name("api_surface.json")
COMMAND = "python tests/test_api_surface.py"
PACKAGES = (
    "vauban",
    "vauban.attacks",
    "vauban.certificates",
    "vauban.data",
    "vauban.defences",
    "vauban.metrics",
    "vauban.models",
    "vauban.threats",
)
Surface = dict[str, dict[str, str]]


def public_names(module: ModuleType) -> list[str]:
    """What `dir()` shows without an underscore in front, and of `__all__` where the module has one."""
    listed = getattr(module, "__all__", None)
    return [name for name in dir(module) if not name.startswith("_") and (listed is None or name in listed)]


def described(value: object) -> str:
    """One line about a public value: a class or a function with its signature, or only that it is a value."""
    if isinstance(value, ModuleType):
        return "package"
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return "value"
    try:
        signature = str(inspect.signature(value))
    except ValueError:  # some builtin classes have none
        signature = "(...)"
    kind = "class" if inspect.isclass(value) else "function"
    return f"{kind} {re.sub(r' at 0x[0-9a-f]+', '', signature)}"


def surface() -> Surface:
    """Public names of every public package with what they are; submodules are no part of a package's surface."""
    names: Surface = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        values = {name: getattr(module, name) for name in public_names(module)}
        shown = {n: v for n, v in values.items() if package == "vauban" or not isinstance(v, ModuleType)}
        names[package] = {name: described(value) for name, value in sorted(shown.items())}
    return names


def differences(kept: Surface, now: Surface) -> list[str]:
    """One line for each name that vanished, changed or was added."""
    lines = []
    for package in sorted({*kept, *now}):
        before, after = kept.get(package, {}), now.get(package, {})
        lines += [f"{package}.{name} vanished" for name in before if name not in after]
        lines += [f"{package}.{name} is new: {after[name]}" for name in after if name not in before]
        changed = [name for name in before if name in after and before[name] != after[name]]
        lines += [f"{package}.{name} changed\n    from {before[name]}\n    to   {after[name]}" for name in changed]
    return lines


def test_the_surface_is_the_one_that_is_written_down() -> None:
    lines = differences(json.loads(FILE.read_text()), surface())
    assert not lines, "\n".join([*lines, f"if this is meant, say so in CHANGELOG.md and run: {COMMAND}"])


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        ({"a": {"f": "function (x)", "g": "value"}}, ["a.g vanished"]),
        ({"a": {}}, ["a.f is new: function (x)"]),
        ({"a": {"f": "function (x, y)"}}, ["a.f changed\n    from function (x, y)\n    to   function (x)"]),
        ({"a": {"f": "function (x)"}, "b": {"C": "class ()"}}, ["b.C vanished"]),
        ({"a": {"f": "function (x)"}}, []),
    ],
)
def test_what_changes_is_told(kept: Surface, says: list[str]) -> None:
    assert differences(kept, {"a": {"f": "function (x)"}}) == says


if __name__ == "__main__":
    FILE.write_text(json.dumps(surface(), indent=1, ensure_ascii=False) + "\n")
