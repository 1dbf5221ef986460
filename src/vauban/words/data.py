"""Data sets by name: `digits`, `mnist/test[:500]`, `folder:path=images,crop=227[::10]`, `file.py:name`."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from vauban import data
from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError
from vauban.core.text import parse
from vauban.core.users_call import call_users
from vauban.data.dataset import Dataset
from vauban.data.location import DataLocation, default_root
from vauban.data.torch_data import from_torch
from vauban.words.files import from_file

_SLICE = re.compile(r"\[([^\]]*)\]\s*(?=:|$)")


@named_arguments
def load(
    word: Any, root: str | Path | None = None, labels: Literal["true", "own"] = "true", download: bool = False
) -> Dataset:
    """A data set by name, or a data set whose labels are looked at.

    Args:
        word: A registered name with a split, parameters and a slice, a user's `file.py:name`, a data set, or what
            `vauban.data.from_torch` makes one of: a `DataLoader`, a torch data set, a pair (x, y).
        root: The folder that holds the files (default: $VAUBAN_DATA).
        labels: "own" marks the set for `relabel` with the model's own answers.
        download: Whether what is missing may be fetched.

    Raises:
        MissingData: The files are not there.
        UnknownName: A name or a parameter is not known.
        ContractError: A slice or a value is refused, or there are no labels.
    """
    if labels not in ("true", "own"):
        raise ContractError(f"expected labels 'true' or 'own', got {labels!r}")
    named = _named(word, root, download) if isinstance(word, str) else _made(word)
    if labels == "own":
        return replace(named, labels_from="own")
    if named.labels_from == "none":
        raise ContractError(f"{named.name} has no labels; use the model's own answers with --labels own (labels='own')")
    return named


def _named(text: str, root: str | Path | None, download: bool) -> Dataset:
    text, part = _cut(text)
    spec = parse(text)
    if spec.file is not None:
        named = from_file(replace(spec, params={}))
        if spec.params or inspect.isclass(named) or inspect.isroutine(named):
            named = call_users(spec.text, named, spec.params)
    else:
        name, _, split = spec.name.partition("/")
        place = DataLocation(default_root() if root is None else Path(root).expanduser(), download)
        named = data.registry.get(name).build("dataset", {"split": split or None, "place": place, **spec.params})
    named = _made(named)
    return named if part is None else named[part]


def _made(given: Any) -> Dataset:
    return given if isinstance(given, Dataset) else from_torch(given)


def _cut(text: str) -> tuple[str, slice | None]:
    """Take the `[start:stop:step]` out of a data spec."""
    cut = _SLICE.search(text)
    if cut is None:
        return text, None
    parts = cut[1].split(":")
    try:
        numbers = [int(p) if p.strip() else None for p in parts]
        if len(numbers) < 2 or len(numbers) > 3 or (len(numbers) == 3 and numbers[2] == 0):
            raise ValueError
    except ValueError:
        raise ContractError(f"expected a slice like [:500], [100:200] or [::10], got {cut[0].strip()!r}") from None
    if any(n is not None and n < 0 for n in numbers):
        raise ContractError(f"expected a slice without negative numbers, got {cut[0].strip()!r}")
    return text[: cut.start()] + text[cut.end() :], slice(*numbers)
