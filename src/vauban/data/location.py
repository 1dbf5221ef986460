"""Place of a data set's files, and the split that is asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vauban.core.arguments import NamedArguments
from vauban.core.errors import ContractError


class MissingData(ContractError):  # noqa: N818 - as core.errors.MissingExtra
    """The files of a data set are not where they were looked for."""


@dataclass(frozen=True)
class DataLocation(NamedArguments):
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
            "or allow the download with --download (download=True)"
        )


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
