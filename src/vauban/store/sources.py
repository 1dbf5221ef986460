"""Which code made the rows: a name and a hash per source file, checked again when the rows are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def describe(paths: Iterable[Path | str]) -> dict[str, str]:
    """Name and SHA-256 of source files, for `meta["sources"]`.

    A file of this package is named from the package's folder (`vauban/attacks/pgd.py`), so that the check works in
    another checkout; any other file by its absolute path.
    """
    found = {}
    for path in map(Path, paths):
        full = path.resolve()
        inside = full.is_relative_to(_PACKAGE)
        name = f"{_PACKAGE.name}/{full.relative_to(_PACKAGE).as_posix()}" if inside else str(full)
        found[name] = _digest(full)
    return found


def changed(sources: Mapping[str, str]) -> list[str]:
    """Names of the sources whose file now differs or is gone: rows they made are stale."""
    return [name for name, digest in sorted(sources.items()) if _current(name) != digest]


def _current(name: str) -> str | None:
    path = Path(name)
    full = path if path.is_absolute() else _PACKAGE.parent / path
    return _digest(full) if full.is_file() else None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
