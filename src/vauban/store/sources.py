"""Source files that made the rows of a cell: a digest of each, compared again when the rows are read."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent
_WITHIN = f"{PACKAGE}{os.sep}"
COMPARED, LARGEST = frozenset({".py", ".json", ".csv", ".safetensors"}), 2**26
"""Kinds and size of the files that are opened to be compared: a run folder of somebody else may name any path."""
UNCOMPARED = "0.1"
"""The version whose files have since been moved and renamed: its rows are named by it and not compared file by file."""


def described(files: Iterable[Path]) -> dict[str, str]:
    """Name and digest of source files, for `meta["sources"]`.

    A file of this package is named from the package's folder (`vauban/attacks/...`), so that the check works in another
    checkout; any other file by its absolute path.
    """
    named = {}
    for given in files:
        own = str(given).startswith(_WITHIN)
        file = given if own else given.resolve()
        named[_own_name(file) if own or file.is_relative_to(PACKAGE) else str(file)] = digest(file)
    return named


@functools.cache
def _own_name(file: Path) -> str:
    return f"{PACKAGE.name}/{file.resolve().relative_to(PACKAGE).as_posix()}"


def earlier_version(meta: Mapping[str, Any]) -> str:
    """The earlier version of vauban whose source files cannot be compared with today's.

    Args:
        meta: The facts of a cell; `meta["versions"]["vauban"]` is the version that made its rows.

    Returns:
        `0.1` for rows of any version 0.1.x; "" for every other version, and where none is recorded.
    """
    version = str((meta.get("versions") or {}).get("vauban", ""))
    return UNCOMPARED if version.startswith(f"{UNCOMPARED}.") else ""


def changed(sources: Mapping[str, str]) -> list[str]:
    """Names of the sources whose file now does something else, or is gone: rows they made are stale."""
    return [
        name for name, before in sorted(sources.items()) if comparable(name, file_of(name)) and _current(name) != before
    ]


def digest(file: Path) -> str:
    """SHA-256 of what a file does: of its syntax tree, so that comments, docstrings and layout do not count.

    A file that is not Python, or not of this version, counts by its bytes.
    """
    return _digest(file, file.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _digest(file: Path, _: int) -> str:
    content = file.read_bytes()
    if file.suffix == ".py":
        with contextlib.suppress(SyntaxError, ValueError):
            content = ast.unparse(_Bare().visit(ast.parse(content))).encode()
    return hashlib.sha256(content).hexdigest()


def comparable(name: str, file: Path) -> bool:
    """Whether a file is one that is opened: a small source, and of this package where it is named from its folder.

    Args:
        name: As `described` names it.
        file: Where it is now.
    """
    path = Path(name)
    inside = path.is_absolute() or file.resolve().is_relative_to(PACKAGE)
    return inside and path.suffix in COMPARED and not (file.is_file() and file.stat().st_size > LARGEST)


def _current(name: str) -> str | None:
    full = file_of(name)
    return digest(full) if full.is_file() else None


def file_of(name: str) -> Path:
    """Where a file is that `described` names."""
    path = Path(name)
    return path if path.is_absolute() else PACKAGE.parent / path


class _Bare(ast.NodeTransformer):
    """Without docstrings and other statements that are a text alone."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [statement for statement in body if not _is_text(statement)]
            node.body = kept or ([] if isinstance(node, ast.Module) else [ast.Pass()])  # type: ignore[attr-defined]
        return node


def _is_text(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
