"""Executors by their words: `ray:address=auto,gpus=1`, or a number of processes."""

from __future__ import annotations

from vauban.core.errors import ContractError, UnknownName
from vauban.core.text import parse
from vauban.jobs.executors import Executor, registry
from vauban.jobs.executors.pool import RemoteExecutor
from vauban.jobs.executors.processes import Processes
from vauban.jobs.executors.serial import Serial
from vauban.jobs.shard import Shard

Named = Executor | str | None


def executor_of(executor: Named = None, workers: int = 1) -> Executor:
    """An executor by its words, or that of a number of processes.

    Args:
        executor: `serial`, `processes:workers=4`, `ray:address=auto,gpus=1`, or an object; None: that of `workers`.
        workers: Processes on this machine; 1 works in this one.

    Raises:
        UnknownName: A name or a parameter that is not known.
        MissingExtra: A package of the executor is not installed.
        ContractError: Both are given, or a value out of its range.
    """
    if workers < 1:
        raise ContractError(f"expected at least one worker, got {workers}")
    if executor is not None and workers > 1:
        raise ContractError(
            f"expected an executor or a number of workers, got {executor} and {workers} workers; write ray:workers=2"
        )
    if executor is None:
        return Serial() if workers == 1 else Processes(workers)
    if not isinstance(executor, str):
        return executor
    spec = parse(executor)
    if spec.file is not None:
        raise UnknownName(registry.kind, executor, registry.names())
    chosen: Executor = registry.get(spec.name).build(registry.kind, spec.params)
    return chosen


def check_words(executor: Executor, words: bool, what: str) -> None:
    """Check, before anything is computed, that an executor can be given some work.

    Args:
        executor: The executor.
        words: Whether the work is made of words that another process can read.
        what: What the message calls it.

    Raises:
        ContractError: It is made of objects, and the executor works in other processes.
    """
    if isinstance(executor, RemoteExecutor) and not words:
        raise ContractError(
            f"expected {what} of words for several workers, got one that holds objects of this process; name them as "
            "file.py:name, or run with one worker"
        )


def check_folder(executor: Executor, shard: Shard | None, out: object, call: str) -> None:
    """Check, before anything is computed, that rows which others make, or are to join, have a folder that lasts.

    Args:
        executor: The executor.
        shard: The share of this process.
        out: The folder; None: a temporary one of this process.
        call: What the message calls the function.

    Raises:
        ContractError: There is no folder, and the rows of other processes would not be in it.
    """
    far = isinstance(executor, RemoteExecutor) and executor.elsewhere
    if out is None and (far or shard is not None):
        why = "for workers on other machines" if far else "for a shard"
        raise ContractError(
            f"expected out of {call} as a folder that all processes see, {why}, got none; give out=FOLDER"
        )
