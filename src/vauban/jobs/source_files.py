"""Source files as provenance reads them: what a file imports, by name, and what it does with it."""

from __future__ import annotations

import ast
import functools
import os
import sysconfig
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vauban.jobs.read_files import read_files
from vauban.store.sources import PACKAGE
from vauban.words.user_modules import INSTALLED

LARGEST = 64 * 2**20  # bytes of a file that is hashed because a user's file reads it
_INSTALLED = tuple(Path(sysconfig.get_paths()[key]).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib"))
_STAYING = tuple(f"{folder}{os.sep}" for folder in (PACKAGE, *_INSTALLED))  # whose files nobody moves in a run


@dataclass(frozen=True)
class Imported:
    """A name that a file takes from elsewhere.

    Attributes:
        module: The dotted name of the module; with `level` dots before it, relative to the file.
        name: What is taken from it: a name, "*" for all of them, "" for the module itself.
        chains: How the file goes on from there: `attacks.PGD` after `from vauban import attacks` is ("PGD",).
    """

    module: str
    level: int
    name: str
    chains: tuple[tuple[str, ...], ...] = ()


def existing(name: str) -> Path | None:
    """The file of that name with its links followed; None where there is none."""
    return _looked_up(name) if name.startswith(_STAYING) else _file(name)


def real(name: str) -> Path | None:
    """The file of that name if it is vauban's or the user's, not one of an installed package."""
    file = existing(name)
    if file is None or file.is_relative_to(PACKAGE):
        return file
    installed = any(file.is_relative_to(folder) for folder in _INSTALLED)
    return None if installed or INSTALLED & {*file.parts} else file


def _file(name: str) -> Path | None:
    file = Path(name).resolve()
    return file if file.is_file() else None


_looked_up = functools.cache(_file)


def imports(file: Path) -> tuple[Imported, ...]:
    """What a Python file imports anywhere in it, also inside functions, but not for type checkers alone."""
    return _read(file, file.stat().st_mtime_ns)[0]


def public_names(file: Path) -> frozenset[str]:
    """The names that a Python file defines or assigns at its top level."""
    return _read(file, file.stat().st_mtime_ns)[1]


def files_read(file: Path) -> tuple[Path, ...]:
    """The files beside a user's Python file, or in the current folder, that it reads; large ones are data and left out."""
    near = [folder / name for name in _read(file, file.stat().st_mtime_ns)[2] for folder in (file.parent, Path.cwd())]
    return tuple(dict.fromkeys(place.resolve() for place in near if _small_file(place)))


def _small_file(place: Path) -> bool:
    try:
        return place.is_file() and place.stat().st_size <= LARGEST
    except (OSError, ValueError):  # no name of a file: too long, or with a zero byte
        return False


@functools.lru_cache(maxsize=4096)
def _read(file: Path, _: int) -> tuple[tuple[Imported, ...], frozenset[str], tuple[str, ...]]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # not Python, or not of this version
        return (), frozenset(), ()
    return tuple(_imports(tree)), frozenset(_top_level(tree)), read_files(tree)


def _imports(tree: ast.AST) -> Iterator[Imported]:
    unread = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    nodes = [node for node in ast.walk(tree) if node not in unread]
    chains = [chain for node in nodes if isinstance(node, ast.Attribute) and (chain := _chain(node))]
    names = [(node.id,) for node in nodes if isinstance(node, ast.Name)]
    importers = {"import_module", "__import__"} | {
        alias.asname
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "importlib"
        for alias in node.names
        if alias.name == "import_module" and alias.asname
    }
    constants = {
        target.id: node.value.value
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def after(*head: str) -> tuple[tuple[str, ...], ...]:
        """What the file appends to a dotted name."""
        return tuple(dict.fromkeys(chain[len(head) :] for chain in chains if chain[: len(head)] == head))

    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                head = (alias.asname,) if alias.asname else tuple(alias.name.split("."))
                yield Imported(alias.name, 0, "", after(*head))
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                used = after(alias.asname or alias.name) if alias.name != "*" else (*chains, *names)
                yield Imported(node.module or "", node.level, alias.name, used)
        elif isinstance(node, ast.Call) and (dynamic := _dynamic(node, importers, constants)) is not None:
            yield dynamic


def _chain(node: ast.expr) -> tuple[str, ...]:
    """`a.b.c` as its names, () for an attribute of anything else than a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def _dynamic(node: ast.Call, importers: Collection[str], constants: Mapping[str, str]) -> Imported | None:
    """What `importlib.import_module("name")` or `__import__("name")` imports, where the name is a constant."""

    def text(at: int, keyword: str) -> str | None:
        given = node.args[at : at + 1] or [word.value for word in node.keywords if word.arg == keyword]
        if given and isinstance(given[0], ast.Name):
            return constants.get(given[0].id)
        return (
            given[0].value if given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str) else None
        )

    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    name = text(0, "name") if called in importers else None
    if not name:
        return None
    module = name.lstrip(".")
    level, package = len(name) - len(module), text(1, "package")
    if level == 1 and package:  # relative to a package that is named
        return Imported(f"{package}.{module}", 0, "")
    return Imported(module, level, "")


def _top_level(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))
