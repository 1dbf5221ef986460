"""Study file: the arguments of a study as YAML, read with the line of every word; no network and no data is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from vauban.core.errors import ContractError, UnknownName, VaubanError
from vauban.core.parameters import Count, Range, Whole, check
from vauban.core.text import parse_value, written

LISTS = ("models", "attacks", "defences", "threats", "metrics")
TEXTS = ("out", "data", "goal", "labels", "device", "precision", "root")
VALUES: dict[str, Any] = {
    "seed": int,
    "batch_size": Count | Literal["auto"],
    "levels": Annotated[int, Range(2)] | Literal["data"] | None,
    "budget": Count | None,
    "rejects": bool,
    "save_images": bool,
    "preflight": bool,
    "compile": bool,
    "planted": Whole,
    "max_queries_total": Count | None,
    "download": bool,
}
"""Arguments of a study whose words are no names, each with its type and range."""
NEEDED = ("out", "data", "models", "attacks")
KEYS = ("out", "data", *LISTS, "goal", "labels", *VALUES, "device", "precision", "root")
"""The keys of a study file, in the order in which one is written."""
LARGEST = 2**20
"""Bytes of the largest study file: a word takes tens."""


@dataclass(frozen=True)
class Placed:
    """One word of a study file.

    Attributes:
        key: The argument that it belongs to.
        text: What stands there.
        line: Its line, from 1.
    """

    key: str
    text: str
    line: int


@dataclass(frozen=True)
class StudyFile:
    """A study file as read.

    Attributes:
        path: The file.
        words: The arguments of `Study` by name.
        placed: Every word with its line, in the order of the file.
    """

    path: Path
    words: Mapping[str, Any]
    placed: tuple[Placed, ...]

    def refusal(self, line: int, error: VaubanError | str) -> ContractError:
        """The error that something is wrong in a line, to be raised."""
        return _refusal(self.path, line, error)


def read_study_file(path: Path) -> StudyFile:
    """Read a study file: a mapping from arguments of a study to one word or to a list of words.

    A scalar is a text of the grammar of names whatever type YAML gives it: `yes` is no switch, as on the command line.

    Raises:
        ContractError: The file is absent, too large or no YAML; a key is unknown, twice there or without a value, a value
            is out of its range, or an argument that a study needs lacks. The message has the line.
    """
    root = _parsed(path)
    if not isinstance(root, yaml.MappingNode):
        raise _refusal(path, _line(root), "expected `key: value` lines, such as `data: digits/test[:64]`")
    words: dict[str, Any] = {}
    placed: list[Placed] = []
    for name, value in root.value:
        key = _text(path, name, "a key")
        if key not in KEYS:
            raise _refusal(path, _line(name), UnknownName("key of a study file", key, KEYS))
        if key in words:
            raise _refusal(path, _line(name), f"expected each key once, got {key!r} twice")
        own = [Placed(key, _text(path, node, key), _line(node)) for node in _nodes(path, key, name, value)]
        words[key] = [word.text for word in own] if key in LISTS else _value(path, own[0])
        placed += own
    if lacking := [key for key in NEEDED if key not in words]:
        raise ContractError(f"{path}: expected {', '.join(NEEDED)}, got no {', no '.join(lacking)}; add what lacks")
    return StudyFile(path, words, tuple(placed))


def study_text(words: Mapping[str, Any]) -> str:
    """A study file that is read as these arguments of a study; those left out have their default.

    Args:
        words: The arguments by name, texts and numbers; None for `threats` and `root` leaves them out.
    """
    shown: dict[str, Any] = {}
    for key in KEYS:
        value = words.get(key)
        if key not in words or (value is None and key not in ("batch_size", "levels", "budget")) or value == []:
            continue
        if key in LISTS:
            shown[key] = [str(word) for word in value or ()]
        elif value is None:
            shown[key] = "auto" if key == "batch_size" else written(None)
        else:
            shown[key] = value if isinstance(value, int) else str(value)
    text: str = yaml.safe_dump(shown, sort_keys=False, default_flow_style=False, allow_unicode=True, width=2**31)
    return text


def _parsed(path: Path) -> yaml.Node | None:
    if path.is_file() and (size := path.stat().st_size) > LARGEST:
        raise ContractError(f"{path}: expected a study file of at most {LARGEST:,} bytes, got {size:,}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ContractError(
            f"{path}: expected a study file in UTF-8, got {error.reason} at byte {error.start}"
        ) from None
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _refusal(
            path, 1 if mark is None else mark.line + 1, f"expected YAML, got what cannot be read: {error.problem}"
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ContractError(f"{path}: expected YAML, got what cannot be read: {error}") from None


def _nodes(path: Path, key: str, name: yaml.Node, value: yaml.Node) -> Iterator[yaml.Node]:
    """The nodes of the words of a key: those of a list, or the one word."""
    if not isinstance(value, yaml.SequenceNode):
        yield value
    elif key not in LISTS:
        raise _refusal(path, _line(value), f"expected one word for {key}, got a list")
    elif not value.value:
        raise _refusal(path, _line(name), f"expected at least one word for {key}, got an empty list; leave the key out")
    else:
        yield from value.value


def _text(path: Path, node: yaml.Node, what: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _refusal(path, _line(node), f"expected a word for {what}, got a list or a mapping; put it in quotes")
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        raise _refusal(path, _line(node), f"expected a word for {what}, got the tag {node.tag!r}; leave it out")
    text: str = node.value.strip()
    if not text:
        raise _refusal(path, _line(node), f"expected a word for {what}, got none; leave the key out or name one")
    return text


def _value(path: Path, word: Placed) -> Any:
    """The value of an argument that takes no list."""
    if word.key in TEXTS:
        return word.text
    try:
        value = parse_value(word.text)
        check("a study", word.key, value, VALUES[word.key])
    except ContractError as error:
        raise _refusal(path, word.line, error) from None
    return None if value == "auto" else value


def _line(node: yaml.Node | None) -> int:
    return 1 if node is None else node.start_mark.line + 1


def _refusal(path: Path, line: int, error: VaubanError | str) -> ContractError:
    return ContractError(f"{path}, line {line}: {error}")
