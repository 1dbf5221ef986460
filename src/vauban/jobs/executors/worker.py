"""Worker: makes jobs again from their words and performs units of their tasks, as it is asked."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

import torch

from vauban.core.contracts import Artefact, Job
from vauban.core.errors import ContractError
from vauban.jobs.allocator import keep_freed
from vauban.jobs.perform import Performed, Task, perform, place
from vauban.jobs.recall import recalled


def remade(words: Mapping[str, Any], key: str) -> Any:
    """The job or the artefact that words stand for, kept for the next unit of it.

    Raises:
        ContractError: It is not the one that was planned: a file, a network or the code has changed since.
    """
    work: Job | Artefact = recalled(words["call"], words["arguments"])
    if place(work) != key:
        raise ContractError(
            f"{work.label}: expected the same job in a worker process, got another one; a network, a file or the code "
            "has changed since the run began; start it again"
        )
    return work


def answers(asked: Mapping[str, Any], tell: Callable[[int, int], None]) -> Iterator[dict[str, Any]]:
    """An answer for each task of a unit, in order. Where one ends its job, those behind it are skipped.

    Args:
        asked: Words, key, numbers of the parts (None: an artefact), columns that are shown, threads.
        tell: Called as tell(done, total) while an artefact is made.
    """
    ended, parts = False, [None] if asked["parts"] is None else asked["parts"]
    for index in parts:
        began = time.perf_counter()
        performed = Performed("skipped") if ended else _performed(asked, index, tell)
        ended = ended or performed.state == "ended" or performed.fatal is not None
        yield {
            "state": performed.state,
            "error": performed.error,
            "fatal": performed.fatal is not None,
            "columns": None if performed.columns is None else asked_for(performed.columns, asked["columns"]),
            "jobs": [_words(job) for job in performed.jobs],
            "seconds": time.perf_counter() - began,
        }


def _performed(asked: Mapping[str, Any], index: int | None, tell: Callable[[int, int], None]) -> Performed:
    try:
        torch.set_num_threads(asked["threads"])
        work = remade(asked["words"], asked["key"])
        return perform(Task(work, None if index is None else work.parts()[index]), tell)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Performed("failed", error=str(error), fatal=error)


def asked_for(columns: Mapping[str, Any], names: list[str]) -> dict[str, list[Any]]:
    """The columns that the parent shows, as plain lists."""
    return {
        name: [value.item() if hasattr(value, "item") else value for value in columns[name]]
        for name in names
        if name in columns
    }


def _words(job: Job) -> dict[str, Any]:
    words = job.words()
    assert words is not None, "a job that a job returns is made of words"
    return {"call": words.call, "arguments": dict(words.arguments), "key": job.key}


def serve(connection: Connection) -> None:
    """Perform what the parent asks over a socket until it asks for nothing more."""
    while (asked := connection.recv()) is not None:
        for answer in answers(asked, lambda done, total: connection.send({"done": done, "total": total})):
            connection.send(answer)


def main() -> None:
    """Entry point of a worker process: file descriptor of the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    keep_freed()
    with Connection(int(sys.argv[1])) as connection:
        try:
            serve(connection)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return  # the parent has gone


if __name__ == "__main__":
    main()
