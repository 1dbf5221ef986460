"""Performing one task - a part of a job, or an artefact - in whatever process: lock, skip, compute, halve, store."""

from __future__ import annotations

import logging
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch

from vauban.core.contracts import Artefact, Computed, Job, Part, is_job
from vauban.core.errors import ContractError, MissingExtra, UnfitNetwork, VaubanError
from vauban.engine.first_answer import out_of_memory
from vauban.jobs.identity import address
from vauban.jobs.shard import Shard
from vauban.store import files

log = logging.getLogger("vauban")
State = Literal["stored", "made", "busy", "failed", "ended", "skipped"]


@dataclass(frozen=True)
class Task:
    """A part of a job, or an artefact (part None).

    Attributes:
        work: The job or the artefact.
        part: The part.
        after: How many parts of the job follow in this run.
    """

    work: Job | Artefact
    part: Part | None = None
    after: int = 0

    @property
    def samples(self) -> int:
        return 0 if self.part is None else len(self.part)


@dataclass(frozen=True)
class Performed:
    """How a task ended.

    Attributes:
        state: "stored" (it was there), "made", "busy" (another process is at it), "failed" (recorded, to be tried again),
            "ended" (the job cannot go on: its network has no gradient or has changed, or a package is missing) or "skipped"
            (its job has ended).
        columns: The rows that were made.
        error: Why it failed, in one line.
        fatal: The error that ends the whole run; None for a failure of this task alone.
        jobs: Jobs that follow from what was made.
    """

    state: State
    columns: Mapping[str, Any] | None = None
    error: str = ""
    fatal: BaseException | None = None
    jobs: tuple[Job, ...] = ()


def perform(task: Task, tell: Callable[[int, int], None] = lambda done, total: None) -> Performed:
    """Perform a task in this process.

    A VaubanError ends the run after it was recorded. A network without a gradient or with other weights than were planned,
    or a package that is not installed, ends its job only: the next threat may have a way around, the next defence may not
    need it. Anything else but Ctrl-C, `sys.exit` in a user's file included, is recorded against its part.
    """
    if task.part is None:
        return _make(task.work, tell)  # type: ignore[arg-type]
    return _part(task.work, task.part)  # type: ignore[arg-type]


def _part(job: Job, part: Part) -> Performed:
    if job.stored(part):
        return Performed("stored")
    with job.lock(part) as mine:
        if not mine:
            return Performed("busy")
        if job.stored(part):  # since another process has just finished it
            return Performed("stored")
        try:
            began = time.perf_counter()
            with TemporaryDirectory(prefix="vauban-") as scratch:
                computed = _in_halves(job, part, Path(scratch))
            job.keep(part, computed, time.perf_counter() - began)
            return Performed("made", computed.columns, jobs=tuple(computed.jobs))
        except VaubanError as error:
            job.fail(part, str(error), "")
            if isinstance(error, (UnfitNetwork, MissingExtra)):
                log.error("%s: %s", job.label, error)
                return Performed("ended", error=str(error))
            return Performed("failed", error=str(error), fatal=error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit in a user's file, a panic of an extension
            return _failed(job, part, error)


def _failed(job: Job, part: Part, error: BaseException) -> Performed:
    reason = f"{type(error).__name__}: {error}"
    job.fail(part, reason, traceback.format_exc())
    first = reason.splitlines()[0]
    log.error("%s: batch %d failed: %s (recorded, tried again at the next run)", job.label, part.index, first)
    return Performed("failed", error=first)


_fitting: WeakKeyDictionary[Job, int] = WeakKeyDictionary()
"""Samples of a job that fit into this process's memory at once, where all of a part did not; forgotten with the run."""


def forget_sizes() -> None:
    """Have a run that begins try whole parts again."""
    _fitting.clear()


def _in_halves(job: Job, part: Part, scratch: Path) -> Computed:
    """The rows of a part; where memory runs out, of its two halves, and so on down to single samples."""
    if len(part) <= _fitting.get(job, len(part)):
        try:
            return job.compute(part, scratch)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error) or len(part) == 1:
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _fitting[job] = len(part) // 2
        log.warning("%s: out of memory with %d samples; trying %d", job.label, len(part), len(part) // 2)
    first, second = (_in_halves(job, half, scratch) for half in part.halves())
    columns = {name: [*first.columns[name], *second.columns[name]] for name in first.columns}
    return Computed(columns, first.findings, (*first.jobs, *second.jobs))


def _make(artefact: Artefact, tell: Callable[[int, int], None]) -> Performed:
    """Make the file of an artefact unless it is there; a second process that needs it waits."""
    try:
        made = obtain(artefact, tell)
    except (UnfitNetwork, MissingExtra) as error:
        log.error("%s: %s", artefact.label, error)
        return Performed("failed", error=str(error))
    except VaubanError as error:
        return Performed("failed", error=str(error), fatal=error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        first = f"{type(error).__name__}: {error}".splitlines()[0]
        log.error("%s: failed: %s (tried again at the next run)", artefact.label, first, exc_info=error)
        return Performed("failed", error=first)
    return Performed("made" if made else "stored")


def obtain(artefact: Artefact, tell: Callable[[int, int], None] = lambda done, total: None) -> bool:
    """Have the file of an artefact: made now unless it is there, with the record that it was made for this identity.

    Args:
        artefact: The artefact. While another process makes it, this one waits.
        tell: Called as tell(done, total) while it is made here.

    Returns:
        Whether it was made by this call.

    Raises:
        ContractError: The file is there and is not the one that was made.
    """
    if _made(artefact):
        _check_bytes(artefact)
        return False
    told: list[bool] = []

    def waiting() -> None:
        if not told:
            log.warning("%s: another process makes it; waiting", artefact.label)
            told.append(True)

    with files.wait_for(_beside(artefact, "lock"), waiting):
        if _made(artefact):
            _check_bytes(artefact)
            return False
        scratch = _beside(artefact, "part")
        scratch.mkdir(parents=True, exist_ok=True)
        artefact.make(scratch, tell)
        record = {"identity": dict(artefact.identity()), "sha256": files.digest_of(artefact.path)}
        files.write_json(_beside(artefact, "json"), record)
        shutil.rmtree(scratch)
    return True


def file_of_artefact(artefact: Artefact) -> Path:
    """The file of an artefact that has been made.

    Raises:
        ContractError: It has gone, or has other bytes than were written.
    """
    if not _made(artefact):
        raise ContractError(f"{artefact.path}: the file made by {artefact.label} has gone; run the same command again")
    _check_bytes(artefact)
    return artefact.path


def _made(artefact: Artefact) -> bool:
    record = _beside(artefact, "json")
    if not (artefact.path.exists() and record.exists()):
        return False
    return address(files.read_json(record).get("identity", {})) == address(artefact.identity())


def _beside(artefact: Artefact, kind: str) -> Path:
    """A hidden neighbour of the file, so that a folder that the user named stays clear."""
    return artefact.path.with_name(f".{artefact.path.name}.{kind}")


def _check_bytes(artefact: Artefact) -> None:
    if files.read_json(_beside(artefact, "json")).get("sha256") != files.digest_of(artefact.path):
        raise ContractError(
            f"{artefact.path}: expected the file that was made for {artefact.label}, got other bytes; delete it to make "
            "it again"
        )


def place(work: Job | Artefact) -> str:
    """The key of a job, under which its rows are; the path of an artefact."""
    return work.key if is_job(work) else str(work.path)


def split(job: Job, shard: Shard | None = None) -> list[Task]:
    """The tasks of a job in the order of its parts, those of a shard alone where there is one."""
    parts = [part for part in job.parts() if shard is None or shard.holds(part.index)]
    return [Task(job, part, len(parts) - 1 - i) for i, part in enumerate(parts)]
