"""Atomic files and the lock of a cell: a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vauban.core.errors import ContractError

_SUFFIX = ".tmp"
_FOREIGN_AGE_SECONDS = 86_400.0


def digest_of(path: Path) -> str:
    """SHA-256 of the bytes of a file, read block by block."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file whole or not at all: a temporary one beside it is flushed to disk and renamed.

    Args:
        path: The file to write; its folder is made.
        write: Fills the temporary file that it is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The owner is in the name, so that a cleaner never takes the file from under a living writer.
    temporary = path.with_name(f".{path.name}~{socket.gethostname()}~{os.getpid()}~{secrets.token_hex(4)}{_SUFFIX}")
    try:
        write(temporary)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_output(path: Path, folder: bool = False) -> None:
    """Whether a file, or a folder, can be written, before what goes into it is paid for; nothing is made.

    Args:
        path: The file or folder; folders above it that are absent will be made.
        folder: Whether it is a folder.

    Raises:
        ContractError: Something else is there, a file stands in the place of a folder above it, or it is not writable.
    """
    if path.exists() and path.is_dir() != folder:
        what = "a folder" if folder else "a file"
        raise ContractError(f"expected {what} to write, got {path}, which is {'a file' if folder else 'a folder'}")
    above = next(place for place in (path, *path.absolute().parents) if place.exists())
    if above != path and not above.is_dir():
        raise ContractError(f"{path} cannot be written: {above} is a file and no folder; choose another place")
    if not os.access(above, os.W_OK | (os.X_OK if above.is_dir() else 0)):
        raise ContractError(f"{path} cannot be written: no permission to write {above}; choose another place")


def write_bytes(path: Path, content: bytes) -> None:
    """Write the content of a file atomically."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomic(path, write)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinity are refused because they are not JSON."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """JSON as the files of a run hold it; NaN and infinity are refused because they are not JSON."""
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


LARGEST_JSON = 2**26
"""Bytes of the largest JSON file that is read: facts and findings take kilobytes."""


def read_facts(path: Path) -> dict[str, Any]:
    """Facts of a run folder, a JSON object. Raises ContractError where it is damaged, too large or a symbolic link."""
    facts = read_json(path, follow=False)
    if not isinstance(facts, dict):
        raise ContractError(f"{path}: expected a JSON object, got {type(facts).__name__}; delete it and run again")
    return facts


def read_json(path: Path, follow: bool = True) -> Any:
    """Read JSON; a damaged file, one that is too large, or a symbolic link not to `follow` is a one-line ContractError."""
    if path.is_symlink() and not follow:
        raise ContractError(f"{path} is a symbolic link, and none is followed in a run folder; remove it")
    if path.is_file() and (size := path.stat().st_size) > LARGEST_JSON:
        raise ContractError(f"{path}: expected at most {LARGEST_JSON:,} bytes, got {size:,}; delete it and run again")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ContractError(f"{path}: expected a JSON file of a run, got {error}; delete it and run again") from error


def append_line(path: Path, value: Any) -> None:
    """Append one JSON line with a single write; the leading newline closes a line torn by an earlier kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, f"\n{json.dumps(value, sort_keys=True)}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def write_in_place(path: Path, content: bytes) -> None:
    """Write a file in one go, through no symbolic link; not atomic and not flushed, for what can be made again."""
    with os.fdopen(_opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
        file.write(content)


def _opened(path: Path, flags: int) -> int:
    """A file opened, unless it is a symbolic link: a run folder of somebody else may point anywhere."""
    try:
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o644)
    except OSError as error:
        if path.is_symlink():
            raise linked(path) from error
        raise


def linked(path: Path) -> ContractError:
    """The error that a place in a run folder is a symbolic link, to be raised."""
    return ContractError(f"{path} is a symbolic link, and nothing is written through one; remove it")


def check_unlinked(*folders: Path) -> None:
    """Raises ContractError where one of the folders of a run is a symbolic link."""
    for folder in folders:
        if folder.is_symlink():
            raise linked(folder)


def read_lines(path: Path) -> list[Any]:
    """The whole JSON lines of a file; a line torn by a kill is skipped, a link or a huge file is not read."""
    if not path.is_file() or path.is_symlink() or path.stat().st_size > LARGEST_JSON:
        return []
    values = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.strip():
            with contextlib.suppress(ValueError):
                values.append(json.loads(line))
    return values


def clean_leftovers(folder: Path) -> list[Path]:
    """Remove the temporary files of a folder whose writer is dead (here) or silent for a day (another machine).

    Returns:
        The removed files.
    """
    removed = []
    for path in sorted(folder.glob(f".*{_SUFFIX}")):
        if _orphan(path):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _orphan(path: Path) -> bool:
    fields = path.name.removesuffix(_SUFFIX).split("~")
    if len(fields) != 4 or not fields[2].isdigit() or fields[1] != socket.gethostname():
        try:
            return time.time() - path.stat().st_mtime > _FOREIGN_AGE_SECONDS
        except FileNotFoundError:
            return False
    try:
        os.kill(int(fields[2]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@contextlib.contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Advisory lock on a file; the system releases it when the holder dies.

    Yields:
        Whether the lock was free and is now held.

    Raises:
        ContractError: The system has no `fcntl`.
    """
    fcntl = _fcntl()
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(_opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextlib.contextmanager
def opened_alone(path: Path) -> Iterator[int]:
    """The descriptor of a file, made where it is not there, under a lock that other processes are waited for.

    Raises:
        ContractError: The system has no `fcntl`, or the file is a symbolic link.
    """
    fcntl = _fcntl()
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(_opened(path, os.O_RDWR | os.O_CREAT), "r+b", buffering=0) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()


@contextlib.contextmanager
def lock_part(path: Path, index: int | None) -> Iterator[bool]:
    """Advisory lock on the part `index` of a folder whose lock file is `path`, on all of them for None: yields whether it
    was free.

    All parts share the file, each by a byte of its own, so that several processes work on one folder at once. The system
    releases the lock when the holder dies. Raises ContractError where the system has no `fcntl`.
    """
    fcntl = _fcntl()
    path.parent.mkdir(parents=True, exist_ok=True)
    length, first = (0, 0) if index is None else (1, index)  # of length 0: to the end, wherever that is
    with os.fdopen(_opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT), "a+b") as handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, length, first)
        except (BlockingIOError, PermissionError):
            yield False
            return
        yield True


def held(path: Path) -> bool:
    """Whether another process holds a part of a lock file, or all of it; nothing is written."""
    if not path.is_file() or path.is_symlink():
        return False
    fcntl = _fcntl()
    with path.open("rb") as handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return True
    return False


@contextlib.contextmanager
def wait_for(path: Path, waiting: Callable[[], None], pause: float = 0.2) -> Iterator[None]:
    """Hold the lock on a file; while another process has it, call `waiting` and try again."""
    while True:
        with lock(path) as mine:
            if mine:
                yield
                return
        waiting()
        time.sleep(pause)


def _fcntl() -> Any:
    try:
        import fcntl
    except ModuleNotFoundError as error:
        raise ContractError("locks need a POSIX system, got one without fcntl; run in Linux, macOS or WSL") from error
    return fcntl
