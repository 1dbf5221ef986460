"""Files that a Python file reads when it runs: configurations, arrays, code, named in it by constants."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

READERS = frozenset(
    {
        *("open", "open_text", "read_bytes", "read_text", "run_path", "spec_from_file_location", "SourceFileLoader"),
        *("fromfile", "genfromtxt", "load", "load_file", "loadtxt", "memmap", "safe_load", "safe_open"),
        *("imread", "read_csv", "read_image", "read_json", "read_parquet"),
    }
)
"""Names of functions and methods that read a file, of the standard library and of common packages."""
JOINERS = frozenset({"join", "joinpath", "with_name", "Path", "PurePath", "fspath", "str"})
"""Names of those that make a path of others."""
WRITING = frozenset("wax+")
"""Letters of the mode of `open` with which a file is written."""

Names = Mapping[str, tuple[str, ...]]
"""Paths by the variable that holds them."""


def read_files(tree: ast.AST) -> tuple[str, ...]:
    """The paths, as they are written, of the files that the calls in a syntax tree read.

    A path is a constant, several joined by `/`, `join` or `Path`, or a variable that was given one of these. What is put
    together when the program runs is not known.
    """
    names: dict[str, tuple[str, ...]] = {}
    for node in ast.walk(tree):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        for target in targets:
            if isinstance(target, ast.Name) and value is not None and (paths := tuple(_paths(value, names))):
                names[target.id] = names.get(target.id, ()) + paths
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _reads(node))
    return tuple(dict.fromkeys(path for call in calls for part in _parts(call) for path in _paths(part, names)))


def _reads(call: ast.Call) -> bool:
    name = _called(call)
    if name not in READERS:
        return False
    if name != "open":
        return True
    place = 0 if isinstance(call.func, ast.Attribute) and not isinstance(call.func.value, ast.Name) else 1
    given = [keyword.value for keyword in call.keywords if keyword.arg == "mode"] or call.args[place : place + 1]
    mode = given[0].value if given and isinstance(given[0], ast.Constant) else "r"
    return not (isinstance(mode, str) and set(mode) & WRITING)


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _parts(call: ast.Call) -> Iterator[ast.expr]:
    """What may be the path: the arguments, and the object whose method is called."""
    yield from call.args
    yield from (keyword.value for keyword in call.keywords)
    if isinstance(call.func, ast.Attribute):
        yield call.func.value


def _paths(node: ast.expr, names: Names) -> Iterator[str]:
    """The paths that an expression stands for; of joined parts the constants at the end, since a folder may be computed."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and node.value and "\n" not in node.value:
            yield node.value
    elif isinstance(node, ast.Name):
        yield from names.get(node.id, ())
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Add):
        yield from _joined([node.left, node.right], names)
    elif isinstance(node, ast.Call) and _called(node) in JOINERS:
        yield from _joined(node.args, names)


def _joined(parts: list[ast.expr], names: Names) -> Iterator[str]:
    """The paths of the last part, each also below what stands before it where that is known."""
    *before, last = [tuple(_paths(part, names)) for part in parts] or [()]
    for path in last:
        yield path
        for folder in before[-1] if before else ():
            yield f"{folder}/{path}"
