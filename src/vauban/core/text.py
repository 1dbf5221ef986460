"""Grammar of names: `pgd:eps=8/255`, `file.py:name`, `restarts:attack=[pgd:steps=10]`, `jpeg+bit-depth`, `jpeg|cnn`.

    spec   = name [":" item ("," item)*]   |   file.py:name [":" item ("," item)*]
    item   = key "=" value
    value  = true | false | none | number | 8/255 | inf | nan | text | 'quoted text' | "[" text "]" ("[" text "]")*

`true`, `false`, `none`, `inf` and `nan` are read in any case; `yes`, `on` and the like are texts, which no switch takes.
What stands in brackets is a text of its own: `,`, `+` and `|` in it divide nothing outside. A quoted text begins right
behind `=`. This module only takes texts apart; `vauban.words` says what the names stand for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from vauban.core.errors import ContractError

QUOTED = re.compile(r"""=\s*(['"])(?:\\.|(?!\1)[^\\])*\1(?=\s*(?:[],+|]|$))""", re.DOTALL)
"""A quoted value; an apostrophe in a name opens nothing."""


@dataclass(frozen=True)
class Bracketed:
    """Texts in brackets, `[a][b]`: names for somebody else to read."""

    texts: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f"[{text}]" for text in self.texts)


@dataclass(frozen=True)
class Spec:
    """A name with parameters.

    Attributes:
        text: What it was read from.
        name: The name; behind a file, that of an object in it.
        params: Value by key: None, a bool, a number, a text or `Bracketed`.
        file: The user's file that has the object.
    """

    text: str = field(compare=False)
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None

    def __str__(self) -> str:
        """A text that parses to an equal spec."""
        head = self.name if self.file is None else f"{self.file}:{self.name}"
        items = ",".join(f"{key}={written(value)}" for key, value in self.params.items())
        return f"{head}:{items}" if items else head

    def shown(self, *more: str) -> str:
        """The label in tables: the name, then the parameters as they were written and `more` of them."""
        rest = ",".join(filter(None, [self.text.partition(":")[2], *more]))
        return f"{self.name}:{rest}" if rest else self.name


def parse(text: str) -> Spec:
    """Read `name`, `name:key=value,key=value` or `file.py:name[:key=value,...]`.

    Raises:
        ContractError: Brackets do not close, a key comes twice, an item has no `=`, or a file has no name behind it.
    """
    head, _, rest = text.partition(":")
    file, name = None, head.strip()
    if head.endswith(".py"):
        file = Path(head).expanduser()
        name, _, rest = rest.partition(":")
        name = name.strip()
        if not name:
            raise ContractError(f"expected file.py:name, got {text!r}; name the object to take from the file")
    params: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in split(rest, ","))):
        written_key, equals, value = item.partition("=")
        if not equals or "[" in written_key:
            raise ContractError(f"expected key=value after the colon in {text!r}, got {item!r}")
        key = written_key.strip().replace("-", "_")
        if key in params:
            raise ContractError(f"expected each key once in {text!r}, got {key!r} twice")
        params[key] = parse_value(value)
    return Spec(text, name, params, file)


def parse_value(text: str) -> Any:
    """`8/255` is a fraction, `true`, `none`, `inf` and `nan` are what they say, numbers are numbers, the rest is a text."""
    stripped = text.strip()
    lowered = stripped.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    if lowered == "none":
        return None
    if re.fullmatch(r"[-+]?(inf|infinity)|nan", lowered):
        return float(lowered)
    if stripped.startswith("[") and (texts := _bracketed(stripped)) is not None:
        return Bracketed(texts)
    if re.fullmatch(r"[-+]?[\d.]+\s*/\s*[\d.]+", lowered):
        top, bottom = lowered.split("/")
        try:
            return float(Fraction(top) / Fraction(bottom))
        except (ZeroDivisionError, ValueError):
            raise ContractError(f"expected a fraction like 8/255, got {text!r}") from None
    try:
        value = ast.literal_eval(stripped)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return stripped
    return value if isinstance(value, (int, float, str)) else stripped


def written(value: Any) -> str:
    """A value as the grammar writes it: `parse_value(written(value)) == value`."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value) if isinstance(value, Bracketed) else repr(value)
    plain = value.isprintable() and not set(value) & set(",[]'\"\\")
    return value if plain and value and _read_back(value) == value else repr(value)


def split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that stand in no brackets and in no quotes.

    Raises:
        ContractError: A bracket is not closed, or closed and not opened.
    """
    parts, begin, depth = [], 0, 0
    for position, sign, depth in _unquoted(text):
        if sign == separator and depth == 0:
            parts.append(text[begin:position])
            begin = position + 1
    if depth:
        raise ContractError(f"expected a ] for each [, got {text!r}")
    return [*parts, text[begin:]]


def joined(text: str) -> list[str]:
    """The parts of a chain `a+b`. A plus in brackets, in a number such as 1e+3 or in a file's name joins nothing."""
    parts: list[str] = []
    for part in split(text, "+"):
        begin = next((i for i in range(len(parts)) if _one_file("+".join(parts[i:]), part)), len(parts))
        if parts and re.match(r"\d", part):
            begin = min(begin, len(parts) - 1)
        parts[begin:] = ["+".join([*parts[begin:], part])]
    return [part.strip() for part in parts]


def behind(text: str) -> tuple[str | None, str]:
    """The defences and the network of `DEFENCE|MODEL`, outermost first; None for a network without a defence.

    Raises:
        ContractError: Nothing stands on one side of a bar.
    """
    *defences, model = (part.strip() for part in split(text, "|"))
    if not all((*defences, model)):
        raise ContractError(f"expected DEFENCE|MODEL with a name on each side of the bar, got {text!r}")
    return "+".join(defences) or None, model


def _read_back(text: str) -> Any:
    try:
        return parse_value(text)
    except ContractError:
        return None


def _unquoted(text: str) -> Iterator[tuple[int, str, int]]:
    """Position, sign and depth of brackets behind it, of all that stands in no quotes."""
    position = depth = 0
    while position < len(text):
        if quoted := QUOTED.match(text, position):
            position = quoted.end()
            continue
        sign = text[position]
        depth += {"[": 1, "]": -1}.get(sign, 0)
        if depth < 0:
            raise ContractError(f"expected a [ before each ], got {text!r}")
        yield position, sign, depth
        position += 1


def _bracketed(text: str) -> tuple[str, ...] | None:
    """The texts of `[a][b]`; None where something stands beside the brackets."""
    texts, rest = [], text
    while rest:
        if not rest.startswith("["):
            return None
        inner, after = _first(rest)
        texts.append(inner.strip())
        rest = after.lstrip()
    return tuple(texts)


def _first(text: str) -> tuple[str, str]:
    """What stands in the bracket that a text begins with, and what stands behind it."""
    end = next((position for position, _, depth in _unquoted(text) if depth == 0), None)
    if end is None:
        raise ContractError(f"expected a ] for each [, got {text!r}")
    return text[1:end], text[end + 1 :]


def _one_file(before: str, part: str) -> bool:
    """Whether the plus between two texts stands in the name of a file that is there: `a+b.py:name`."""
    head, colon, _ = part.partition(".py:")
    return bool(colon) and ".py:" not in before and Path(f"{before}+{head}.py").expanduser().is_file()
