"""Provenance: the user's and vauban's own source files that can change a row.

They are those that define the objects of a job, and those from which these files take what they use, read from the syntax
tree and so on. Of vauban's packages only the files behind the names that are used count, never whole packages; installed
packages are covered by their versions.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from vauban.core import face
from vauban.jobs.source_files import Imported, existing, files_read, imports, public_names, real
from vauban.store.sources import PACKAGE
from vauban.words.user_modules import folders_above

_REGISTERING = frozenset({"registry", "fitters", "register"})  # what puts a thing under a name changes no row
_MODULE_STATE = frozenset(vars(nn.Module()))
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


def source_files(*values: Any, extra: Iterable[Path] = ()) -> list[Path]:
    """The files that can change what the given objects do.

    Args:
        values: Objects, classes or functions; what they hold counts as well.
        extra: Further files that the user named.
    """
    seen: set[int] = set()
    start = {file for value in values for part in _parts(value, seen) for file in _files_of(part)}
    return sorted(_closure(start | {path.resolve() for path in extra}))


def _closure(files: set[Path]) -> set[Path]:
    """The files and all that they take from other files of vauban's or the user's."""
    todo, known = list(files), set(files)
    while todo:
        file = todo.pop()
        if file.suffix != ".py" or not file.is_file():
            continue
        read = () if file.is_relative_to(PACKAGE) else files_read(file)
        new = [needed for needed in (*_taken(file), *read) if needed not in known]
        known.update(new)
        todo += new
    return known


def _taken(file: Path) -> Iterable[Path]:
    """The files that a file takes something from; of vauban's own, looked up once."""
    if file.is_relative_to(PACKAGE):
        return _taken_by_ours(file, file.stat().st_mtime_ns)
    return _look_up(file)


@functools.lru_cache(maxsize=4096)
def _taken_by_ours(file: Path, _: int) -> tuple[Path, ...]:
    return _look_up(file)


def _look_up(file: Path) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(needed for imported in imports(file) for needed in _needed(file, imported)))


def _needed(file: Path, imported: Imported) -> Iterator[Path]:
    """The files that an import, and what is done with it, come from."""
    base = _module_file(file, imported.module, imported.level)
    if base is None and imported.name:  # from a folder without __init__: a module below it
        dotted = f"{imported.module}.{imported.name}".removeprefix(".")
        base, imported = _module_file(file, dotted, imported.level), dataclasses.replace(imported, name="")
    if base is None or (imported.name in _REGISTERING and base.is_relative_to(PACKAGE)):
        return
    yield from _packages_above(base)
    if not imported.name:
        yield from _own(base)
        for chain in imported.chains:
            yield from _attribute(base, chain)
    elif imported.name == "*":
        yield from _own(base)
        defined = () if base.is_relative_to(PACKAGE) else public_names(base)  # of a face, what is used
        for chain in {*imported.chains, *((name,) for name in defined)}:
            yield from _attribute(base, chain)
    else:
        if not imported.chains:
            yield from _attribute(base, (imported.name,))
        for chain in imported.chains:
            yield from _attribute(base, (imported.name, *chain))


def _attribute(base: Path, chain: tuple[str, ...]) -> Iterator[Path]:
    """The files behind `module.a.b`, the module being the file `base`."""
    if not chain:
        return
    name, rest = chain[0], chain[1:]
    if base.name == "__init__.py":
        below = _below(base.parent, name)
        shown = face.file_of(_dotted(base), name) if base.is_relative_to(PACKAGE) else None
        if shown is not None and (file := real(shown)) is not None:  # a thing that a lazy face shows
            yield file
            return
        if below is not None and name not in public_names(base):
            yield from _own(below)
            yield from _attribute(below, rest)
            return
        for imported in imports(base):  # taken from a file below, and handed on
            if imported.name == name:
                yield from _needed(base, dataclasses.replace(imported, chains=(rest,) if rest else ()))
                return
    yield from _own(base, name)


def _own(base: Path, name: str = "") -> Iterator[Path]:
    """The file itself; of vauban's packages only where the name is defined in the `__init__` itself."""
    package = base.name == "__init__.py" and base.is_relative_to(PACKAGE)
    if not package or (name and name in public_names(base)):
        yield base


def _packages_above(base: Path) -> Iterator[Path]:
    """The `__init__` files of a user's packages, which an import runs."""
    folder = base.parent
    while not folder.is_relative_to(PACKAGE) and (init := real(str(folder / "__init__.py"))) is not None:
        yield init
        folder = folder.parent


def _module_file(file: Path, module: str, level: int) -> Path | None:
    """The file of an imported module, if it is vauban's or the user's."""
    if level:
        folder = file.parent
        for _ in range(level - 1):
            folder = folder.parent
        return _within(folder, module)
    if module == PACKAGE.name or module.startswith(PACKAGE.name + "."):
        return _within(PACKAGE.parent, module)
    if file.is_relative_to(PACKAGE):  # an installed package, which its version covers
        return None
    for folder in dict.fromkeys((*folders_above(file), file.parent, *map(Path, filter(None, sys.path)), Path.cwd())):
        if (within := _within(folder, module)) is not None:
            return within
    loaded = getattr(sys.modules.get(module), "__file__", None)
    return real(loaded) if loaded else None


def _within(folder: Path, module: str) -> Path | None:
    for part in filter(None, module.split(".")):
        below = _below(folder, part)
        if below is None and not (folder / part).is_dir():
            return None
        folder = folder / part
    return real(str(folder / "__init__.py")) or real(str(folder) + ".py")


def _below(folder: Path, name: str) -> Path | None:
    return real(str(folder / name / "__init__.py")) or real(str(folder / f"{name}.py"))


def _dotted(init: Path) -> str:
    return ".".join((PACKAGE.name, *init.parent.relative_to(PACKAGE).parts))


def attributes(module: nn.Module) -> dict[str, Any]:
    """The plain attributes of one module, and the hooks that run in its forward pass.

    What else torch keeps on every module is left out.
    """
    plain = {name: value for name, value in sorted(vars(module).items()) if name not in _MODULE_STATE}
    return plain | {name: list(hooks.values()) for name in _HOOKS if (hooks := vars(module).get(name))}


def ours(file: Path | None) -> bool:
    """Whether a file is vauban's or the user's, not one of an installed package."""
    return file is not None and real(str(file)) is not None


def file_of(value: Any) -> Path | None:
    """The source file of a function, a class or an object's class; None where there is none on disk."""
    target = value if inspect.isroutine(value) or inspect.isclass(value) else type(value)
    try:
        file = inspect.getsourcefile(target)
    except (TypeError, OSError):  # built-in types, and what was typed into a prompt, have no file
        return None
    return existing(file) if file else None


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
    """What a function has captured, also as defaults (`lambda x, k=k: k * x`) where it was made inside another one."""
    inner = "<" in function.__qualname__  # defaults of a function of a module stand in its file
    captured = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()] if inner else []
    for cell in function.__closure__ or ():
        try:
            captured.append(cell.cell_contents)
        except ValueError:  # captured, not yet assigned
            continue
    return captured
