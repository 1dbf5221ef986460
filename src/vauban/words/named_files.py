"""Files that words name, weights and Python files among them, with the digests that they have now."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vauban.core.secret import HEAD
from vauban.models.external_data import external_data
from vauban.store.files import digest_of


def named_files(words: Any) -> dict[str, dict[str, str]]:
    """The files that words name: by the text that stands there, `path`, which is absolute, and `sha256`.

    Those that an ONNX file names beside it belong to it, each by its path. Key files are none of them: a key stays a name.

    Args:
        words: Texts in lists and mappings, at any depth.
    """
    paths = {text: Path(text).expanduser() for word in _texts(words) for text in _candidates(word)}
    named = {text: path for text, path in paths.items() if path.suffix and path.is_file() and not is_key(path)}
    for path in [path for path in named.values() if path.suffix == ".onnx"]:
        named |= {str(beside): beside for beside in external_data(path.read_bytes(), path.parent).values()}
    return {text: {"path": str(path.absolute()), "sha256": digest_of(path)} for text, path in sorted(named.items())}


def is_key(path: Path) -> bool:
    """Whether a file is that of a key."""
    with path.open("rb") as file:
        return file.read(len(HEAD)) == HEAD.encode()


def with_places(words: Any, places: Mapping[str, str]) -> Any:
    """Words with other files in the place of those that they name.

    Args:
        words: Texts in lists and mappings, at any depth; anything else stays.
        places: The new text by the one that stands there.
    """
    if isinstance(words, str):
        names = "|".join(re.escape(name) for name in sorted(places, key=len, reverse=True))
        return re.sub(f"(?<!{_PART})({names})(?!{_PART})", lambda name: places[name[0]], words) if names else words
    if isinstance(words, Mapping):
        return {key: with_places(word, places) for key, word in words.items()}
    return [with_places(word, places) for word in words] if isinstance(words, list) else words


_PART = r"[^=,:|\[\]+'\"\s]"
"""A sign that goes on with a name."""


def _candidates(text: str) -> Iterator[str]:
    """Parts of a text that may be the name of a file: between signs of the grammar, a plus in a name or not."""
    for part in re.split(r"[=,:|\[\]]", text):
        yield part.strip().strip("'\"")
        yield from (piece.strip() for piece in part.split("+"))


def _texts(words: Any) -> Iterator[str]:
    if isinstance(words, str):
        yield words
    elif isinstance(words, Mapping):
        for word in words.values():
            yield from _texts(word)
    elif isinstance(words, (list, tuple)):
        for word in words:
            yield from _texts(word)
