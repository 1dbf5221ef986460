"""The command line's way to name things: `pgd:eps=8/255,steps=40` and `path/to/file.py:name`."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

from vauban.core.errors import ContractError, UnknownName


@dataclass(frozen=True)
class Spec:
    """A name with parameters, and the text it was read from."""

    text: str
    name: str
    params: dict[str, Any] = field(default_factory=dict)
    file: Path | None = None

    def shown(self, *more: str) -> str:
        """What tables call it: the name, then the parameters as they were written and `more` of them."""
        rest = ",".join(filter(None, [self.text.partition(":")[2], *more]))
        return f"{self.name}:{rest}" if rest else self.name


def parse_value(text: str) -> Any:
    """`8/255` is a fraction, `true` and `none` are what they say, numbers are numbers, the rest is a string."""
    lowered = text.strip().lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    if lowered == "none":
        return None
    if re.fullmatch(r"[-+]?[\d.]+\s*/\s*[\d.]+", lowered):
        top, bottom = lowered.split("/")
        try:
            return float(Fraction(top) / Fraction(bottom))
        except (ZeroDivisionError, ValueError):
            raise ContractError(f"expected a fraction like 8/255, got {text!r}") from None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError):
        return text.strip()


def split(text: str, mark: str) -> list[str]:
    """The parts of a text between the marks that stand outside square brackets, stripped, empty ones left out.

    Raises:
        ContractError: A bracket that is not closed, or closes nothing.
    """
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if depth < 0:
            break
        if letter == mark and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    if depth:
        raise ContractError(f"expected as many [ as ] in {text!r}, got {text.count('[')} and {text.count(']')}")
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def parse(text: str) -> Spec:
    """Read `name`, `name:key=value,key=value` or `file.py:name[:key=value,...]`.

    A value in square brackets is a spec of its own and stays text, without the brackets: `at:attack=[pgd:eps=0.3,steps=7]`.
    """
    head, _, rest = text.partition(":")
    file = None
    name = head.strip()
    if head.endswith(".py"):
        file = Path(head).expanduser()
        name, _, rest = rest.partition(":")
        if not name:
            raise ContractError(f"expected file.py:name, got {text!r}; name the object to take from the file")
    params: dict[str, Any] = {}
    for item in split(rest, ","):
        key, equals, value = item.partition("=")
        if not equals:
            raise ContractError(f"expected key=value after the colon in {text!r}, got {item!r}")
        name_of = key.strip().replace("-", "_")
        if name_of in params:
            raise ContractError(f"expected each key once in {text!r}, got {name_of!r} twice")
        params[name_of] = value.strip()[1:-1].strip() if _bracketed(value.strip()) else parse_value(value)
    return Spec(text, name, params, file)


def _bracketed(text: str) -> bool:
    """Whether one pair of brackets encloses the whole text."""
    depths, depth = [], 0
    for letter in text:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        depths.append(depth)
    return text.startswith("[") and depth == 0 and all(depths[:-1])


def load_file(path: Path) -> ModuleType:
    """Import a user's file under a name of its own, keyed by its content."""
    if not path.is_file():
        raise ContractError(f"expected a Python file, got {str(path)!r}, which does not exist")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    name = f"vauban_user_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)  # a file may import its neighbours
    try:
        found.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ContractError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    return module


def from_file(spec: Spec) -> Any:
    """The object a `file.py:name` spec points at, called with the parameters when there are any."""
    assert spec.file is not None
    module = load_file(spec.file)
    if not hasattr(module, spec.name):
        raise UnknownName(f"name in {spec.file}:", spec.name, [n for n in vars(module) if not n.startswith("_")])
    found = getattr(module, spec.name)
    if spec.params:
        try:
            return found(**spec.params)
        except TypeError as error:
            raise ContractError(f"{spec.text!r} cannot be made: {error}") from error
    return found
