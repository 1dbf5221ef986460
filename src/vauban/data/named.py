"""Data sets by name: `load("mnist/test[:500]")`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vauban.core import text as specs
from vauban.core.errors import ContractError
from vauban.core.registry import Registry
from vauban.data.dataset import Dataset


class MissingData(ContractError):  # noqa: N818 - as core.errors.MissingExtra
    """The files of a data set are not where they were looked for."""


@dataclass(frozen=True)
class DataLocation:
    """Place where a factory finds its files.

    Attributes:
        root: The data root.
        download: Whether the factory may download what is missing.
    """

    root: Path
    download: bool = False

    def missing(self, name: str, layout: str) -> MissingData:
        """The error that the files of data set `name`, in this layout, are absent."""
        return MissingData(
            f"{name}: expected {layout} below {self.root}, found none; pass --data-root (root=...), set VAUBAN_DATA, "
            "or allow the download with download=True"
        )


Factory = Callable[..., Dataset]
"""`make(split, place, **parameters)`: split is None where the name carries none."""

registry: Registry[Factory] = Registry("dataset", "vauban.data")


def split_of(name: str, split: str | None, known: tuple[str, ...], default: str) -> str:
    """The split asked for, checked: one of those known, the default for None. Raises ContractError."""
    if split is not None and split not in known:
        raise ContractError(f"expected a split of {name} in {', '.join(known)}, got {split!r}")
    return default if split is None else split


def default_root() -> Path:
    """Data root: $VAUBAN_DATA, else `vauban/data` in the user's cache folder."""
    if given := os.environ.get("VAUBAN_DATA"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vauban" / "data"


_SLICE = re.compile(r"\[([^\]]*)\]\s*(?=:|$)")


def _cut(text: str) -> tuple[str, slice | None]:
    """A data spec without its `[start:stop:step]`, and that slice or None. Raises ContractError for another slice."""
    found = _SLICE.search(text)
    if found is None:
        return text, None
    parts = found[1].split(":")
    try:
        numbers = [int(p) if p.strip() else None for p in parts]
        if len(numbers) < 2 or len(numbers) > 3 or (len(numbers) == 3 and numbers[2] == 0):
            raise ValueError
    except ValueError:
        raise ContractError(f"expected a slice like [:500], [100:200] or [::10], got {found[0].strip()!r}") from None
    if any(n is not None and n < 0 for n in numbers):
        raise ContractError(f"expected a slice without negative numbers, got {found[0].strip()!r}")
    return text[: found.start()] + text[found.end() :], slice(*numbers)


def load(
    spec: str | Dataset, root: str | Path | None = None, labels: Literal["true", "own"] = "true", download: bool = False
) -> Dataset:
    """A data set by name: `digits`, `mnist/test[:500]`, `folder:path=images,crop=227[::10]`, `file.py:name`.

    Args:
        spec: The name with split, parameters and slice, or a data set, which is returned.
        root: The folder that holds the files; $VAUBAN_DATA unless given.
        labels: "own" marks the set for `relabel` with the model's own answers.
        download: Whether missing files may be downloaded.

    Raises:
        UnknownName: There is no such data set or parameter.
        MissingData: Its files are absent.
        ContractError: Its files, the slice or a parameter are not as they should be, or it has no labels.
    """
    if labels not in ("true", "own"):
        raise ContractError(f"expected labels 'true' or 'own', got {labels!r}")
    found = spec if isinstance(spec, Dataset) else _find(spec, root, download)
    if labels == "own":
        return replace(found, labels_from="own")
    if found.labels_from == "none":
        raise ContractError(f"{found.name} has no labels; use the model's own answers with --labels own (labels='own')")
    return found


def _find(text: str, root: str | Path | None, download: bool) -> Dataset:
    """The data set that a spec names."""
    text, part = _cut(text)
    parsed = specs.parse(text)
    if parsed.file is not None:
        found = specs.from_file(parsed)
        found = found() if callable(found) else found
    else:
        name, _, split = parsed.name.partition("/")
        place = DataLocation(default_root() if root is None else Path(root).expanduser(), download)
        entry = registry.get(name)
        found = entry.build("dataset", {"split": split or None, "place": place, **parsed.params})
    if not isinstance(found, Dataset):
        raise ContractError(f"expected {text!r} to be a vauban Dataset, got {type(found).__name__}")
    return found if part is None else found[part]
