"""Keys by name: a file, `env:NAME`, or `public:7`, which is no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vauban.core.errors import ContractError, short
from vauban.core.secret import Secret

VARIABLE, PUBLIC = "env:", "public:"


def load(word: Any) -> Secret:
    """The key of a file, of an environment variable (`env:NAME`), or the one that everybody can make (`public:7`).

    Raises:
        ContractError: There is none, others may read it, or it holds no key.
    """
    if isinstance(word, Secret):
        return word
    if not isinstance(word, (str, Path)):
        raise ContractError(f"expected a key as the name of its file or env:NAME, got {short(word)}")
    text = str(word)
    if text.startswith(VARIABLE):
        return Secret.from_environment(text.removeprefix(VARIABLE))
    if text.startswith(PUBLIC):
        number = text.removeprefix(PUBLIC)
        if not number.isdecimal():
            raise ContractError(f"expected a whole number after {PUBLIC}, got {text!r}")
        return Secret.public(int(number))
    return Secret.read(Path(text).expanduser())
