"""Which of the user's and vauban's own source files can change a row."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

import vauban.core
import vauban.engine

_PACKAGE = Path(vauban.core.__file__).resolve().parent.parent
_INSTALLED = tuple(Path(sysconfig.get_paths()[key]).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib"))
_MODULE_STATE = frozenset(vars(nn.Module()))


def source_files(*values: Any, extra: Iterable[Path] = ()) -> list[Path]:
    """The files that define the given objects and everything inside them, what those files import by name, those of the
    core and the engine. extra: files that the user named.

    Installed packages are covered by their versions instead.
    """
    seen: set[int] = set()
    found = {file for value in values for part in _parts(value, seen) for file in _files_of(part)}
    found |= {path.resolve() for path in extra}
    for package in (vauban.core, vauban.engine):
        found.update(path.resolve() for folder in package.__path__ for path in Path(folder).glob("*.py"))
    return sorted(_with_imports(found))


def attributes(module: nn.Module) -> dict[str, Any]:
    """The plain attributes of one module, those that torch keeps on every module left out."""
    return {name: value for name, value in sorted(vars(module).items()) if name not in _MODULE_STATE}


@functools.cache
def _real(name: str) -> Path | None:
    """The file of that name if it is vauban's or the user's, not one of an installed package."""
    file = Path(name).resolve()
    if not file.is_relative_to(_PACKAGE) and (
        any(file.is_relative_to(folder) for folder in _INSTALLED) or {"site-packages", "dist-packages"} & {*file.parts}
    ):
        return None
    return file if file.is_file() else None


def ours(file: Path | None) -> bool:
    """Whether a file is vauban's or the user's, not one of an installed package."""
    return file is not None and _real(str(file)) is not None


def file_of(value: Any) -> Path | None:
    """The source file of a function, a class or an object's class; None where there is none on disk."""
    target = value if inspect.isroutine(value) or inspect.isclass(value) else type(value)
    try:
        file = inspect.getsourcefile(target)
    except (TypeError, OSError):  # built-in types, and what was typed into a prompt, have no file
        return None
    return Path(file).resolve() if file and Path(file).is_file() else None


def _files_of(value: Any) -> Iterator[Path]:
    if inspect.isroutine(value):
        targets: Iterable[Any] = (value,)
    else:
        targets = inspect.getmro(value if inspect.isclass(value) else type(value))
    for target in targets:
        file = file_of(target)
        if file is not None and ours(file):
            yield file


def _parts(value: Any, seen: set[int]) -> Iterator[Any]:
    """The object and what it holds, down to objects of installed packages."""
    if id(value) in seen or value is None or isinstance(value, (str, int, float, bool)):
        return
    seen.add(id(value))
    yield value
    for item in _held(value):
        yield from _parts(item, seen)


def _held(value: Any) -> Iterable[Any]:
    if isinstance(value, nn.Module):
        return [*value.children(), *attributes(value).values()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, f.name) for f in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if inspect.ismethod(value):
        return [value.__self__, value.__func__]
    if inspect.isfunction(value):
        return [*closure(value), inspect.unwrap(value)]
    if not inspect.isclass(value) and ours(file_of(value)):
        return list(getattr(value, "__dict__", {}).values())
    return ()


def closure(function: Any) -> list[Any]:
    """What a function has captured."""
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # captured, not yet assigned
            continue
    return found


def _with_imports(files: set[Path]) -> set[Path]:
    """The files, and those of vauban or the user that define what their modules hold by name, and so on."""
    named = [(getattr(module, "__file__", None), module) for module in list(sys.modules.values())]
    loaded = {file: module for name, module in named if name and (file := _real(name)) is not None}
    todo, found = list(files), set(files)
    while todo:
        module = loaded.get(todo.pop())
        for value in () if module is None else list(vars(module).values()):
            if isinstance(value, ModuleType):
                # A package holds whatever was imported below it so far; that says nothing of what its user needs.
                owner = None if hasattr(value, "__path__") or hasattr(module, "__path__") else value
            else:
                owner = sys.modules.get(str(getattr(value, "__module__", "")))
            name = getattr(owner, "__file__", None)
            file = _real(name) if name else None
            if file is not None and file not in found:
                found.add(file)
                todo.append(file)
    return found
