"""Archive of a run: a tar whose bytes follow from its members alone, each with its digest in the manifest that leads it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vauban.core.errors import ContractError
from vauban.store.files import digest_of, json_bytes, write_atomic

MANIFEST = "bundle.json"
FORMAT = 1
"""Version of the archive."""


@dataclass(frozen=True)
class Archive:
    """An archive as unpacked.

    Attributes:
        folder: Where its members are.
        manifest: What leads it, beside `members`.
    """

    folder: Path
    manifest: Mapping[str, Any]


def write_archive(out: Path, members: Mapping[str, Path | bytes], facts: Mapping[str, Any]) -> None:
    """Write an archive, whole or not at all.

    Args:
        out: The file.
        members: Files, or bytes, by their names in the archive.
        facts: What the manifest says beside the digests.
    """
    digests = {name: _digest(content) for name, content in members.items()}
    manifest = json_bytes({**facts, "format": FORMAT, "members": digests})

    def write(temporary: Path) -> None:
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
            _add(archive, MANIFEST, manifest)
            for name in sorted(members):
                _add(archive, name, members[name])

    write_atomic(out, write)


def unpack(path: Path, folder: Path) -> Archive:
    """Unpack an archive into an empty folder, each member looked at before the next.

    Raises:
        ContractError: It is no such archive, cut short, of another version, or a member is not the one of the manifest.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            manifest = _manifest(path, archive)
            expected = manifest["members"]
            for entry in archive:
                _extract(path, archive, entry, expected, folder)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise ContractError(
            f"{path}: expected a bundle that vauban bundle wrote, got a file that is cut short or none: {error}"
        ) from error
    if missing := sorted(name for name in expected if not (folder / name).is_file()):
        raise ContractError(
            f"{path}: expected {missing[0]} and {len(missing) - 1} more, got a bundle that is cut short"
        )
    return Archive(folder, manifest)


def _manifest(path: Path, archive: tarfile.TarFile) -> dict[str, Any]:
    first = archive.next()
    held = archive.extractfile(first) if first is not None and first.name == MANIFEST else None
    manifest = {} if held is None else json.loads(held.read())
    if not isinstance(manifest, dict) or not isinstance(manifest.get("members"), dict):
        raise ContractError(f"{path}: expected a bundle that vauban bundle wrote, got another archive")
    if manifest.get("format") != FORMAT:
        raise ContractError(
            f"{path}: expected a bundle of format {FORMAT}, got {manifest.get('format')}; use the vauban that wrote it"
        )
    return manifest


def _extract(
    path: Path, archive: tarfile.TarFile, entry: tarfile.TarInfo, expected: Mapping[str, str], folder: Path
) -> None:
    name = PurePosixPath(entry.name)
    if entry.name == MANIFEST:
        return
    if not entry.isfile() or name.is_absolute() or ".." in name.parts or entry.name not in expected:
        raise ContractError(f"{path}: expected the members of its manifest, got {entry.name!r}; do not unpack it")
    held = archive.extractfile(entry)
    assert held is not None
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        left = entry.size
        while left:
            block = held.read(min(left, 2**20))
            if not block:
                raise EOFError(f"{entry.name} ends early")
            left -= file.write(block)
    if digest_of(target) != expected[entry.name]:
        raise ContractError(f"{path}: {entry.name} is not the file that was packed: its SHA-256 is another one")


def _add(archive: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    entry = tarfile.TarInfo(name)  # no time, no owner: the bytes follow from the members
    entry.mode = 0o644
    if isinstance(content, bytes):
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
        return
    entry.size = content.stat().st_size
    with content.open("rb") as file:
        archive.addfile(entry, file)


def _digest(content: Path | bytes) -> str:
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else digest_of(content)
