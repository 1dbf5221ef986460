"""Ledger of a folder of a run: the SHA-256 of every file that was written there, noted before the file gets its name.

A line stays when its file is replaced, so that a kill between line and file leaves no file without its digest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vauban.store import files

LEDGER = "digests.jsonl"
"""One JSON line for each file written: `file`, relative to the folder, and `sha256`."""


def write_noted(folder: Path, name: str, write: Callable[[Path], None]) -> None:
    """Write `folder/name` atomically, its digest noted in the ledger of the folder.

    Args:
        folder: The folder that has the ledger.
        name: The file, relative to it.
        write: Fills the temporary file that it is given.
    """

    def fill(temporary: Path) -> None:
        write(temporary)
        files.append_line(folder / LEDGER, {"file": name, "sha256": files.digest_of(temporary)})

    files.write_atomic(folder / name, fill)


def write_noted_json(folder: Path, name: str, value: Any) -> None:
    """Write JSON as `files.write_json` does, its digest noted in the ledger of the folder."""
    content = files.json_bytes(value)

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_noted(folder, name, write)


def noted_digests(folder: Path) -> dict[str, set[str]]:
    """Every digest that was noted of each file, by its name; nothing where the folder has no ledger."""
    noted: dict[str, set[str]] = {}
    for line in files.read_lines(folder / LEDGER):
        if isinstance(line, dict) and isinstance(line.get("file"), str) and isinstance(line.get("sha256"), str):
            noted.setdefault(line["file"], set()).add(line["sha256"])
    return noted
