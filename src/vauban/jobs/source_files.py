"""Source files as provenance reads them: what a file imports, by name, and what it does with it."""

from __future__ import annotations

import ast
import functools
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vauban.store.sources import PACKAGE

_INSTALLED = tuple(Path(sysconfig.get_paths()[key]).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib"))


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


@functools.cache
def real(name: str) -> Path | None:
    """The file of that name if it is vauban's or the user's, not one of an installed package."""
    file = Path(name).resolve()
    if not file.is_relative_to(PACKAGE) and (
        any(file.is_relative_to(folder) for folder in _INSTALLED) or {"site-packages", "dist-packages"} & {*file.parts}
    ):
        return None
    return file if file.is_file() else None


def imports(file: Path) -> tuple[Imported, ...]:
    """What a Python file imports anywhere in it, also inside functions, but not for type checkers alone."""
    return _read(file, file.stat().st_mtime_ns)[0]


def public_names(file: Path) -> frozenset[str]:
    """The names that a Python file defines or assigns at its top level."""
    return _read(file, file.stat().st_mtime_ns)[1]


@functools.lru_cache(maxsize=4096)
def _read(file: Path, _: int) -> tuple[tuple[Imported, ...], frozenset[str]]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # not Python, or not of this version
        return (), frozenset()
    return tuple(_imports(tree)), frozenset(_top_level(tree))


def _imports(tree: ast.AST) -> Iterator[Imported]:
    unread = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    nodes = [node for node in ast.walk(tree) if node not in unread]
    chains = [chain for node in nodes if isinstance(node, ast.Attribute) and (chain := _chain(node))]

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
                yield Imported(node.module or "", node.level, alias.name, after(alias.asname or alias.name))
        elif isinstance(node, ast.Call) and (named := _dynamic(node)):
            yield Imported(named, 0, "")


def _chain(node: ast.expr) -> tuple[str, ...]:
    """`a.b.c` as its names, () for an attribute of anything else than a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def _dynamic(node: ast.Call) -> str:
    """The module of `importlib.import_module("name")` or `__import__("name")`, where it is written out."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    first = node.args[0] if node.args else None
    written = isinstance(first, ast.Constant) and isinstance(first.value, str) and not first.value.startswith(".")
    return str(first.value) if called in ("import_module", "__import__") and written else ""  # type: ignore[union-attr]


def _top_level(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))
