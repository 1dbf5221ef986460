"""Worker process: makes jobs again from their words and performs their tasks, as its parent asks over a socket."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import torch

from vauban.core.contracts import Artefact, Job
from vauban.core.errors import ContractError
from vauban.jobs.allocator import keep_freed
from vauban.jobs.perform import Task, perform, place
from vauban.jobs.recall import recalled


def remade(words: Mapping[str, Any], key: str) -> Any:
    """The job or the artefact that words stand for.

    Raises:
        ContractError: It is not the one that the parent planned: a file, a network or the code has changed since.
    """
    work: Job | Artefact = recalled(words["call"], words["arguments"])
    if place(work) != key:
        raise ContractError(
            f"{work.label}: expected the same job in a worker process, got another one; a network, a file or the code "
            "has changed since the run began; start it again"
        )
    return work


def serve(connection: Connection) -> None:
    """Perform what the parent asks until it asks for nothing more."""
    while (asked := connection.recv()) is not None:
        try:
            torch.set_num_threads(asked["threads"])
            work = remade(asked["words"], asked["key"])
            part = None if asked["part"] is None else work.parts()[asked["part"]]
            done = perform(Task(work, part), lambda done, total: connection.send({"done": done, "total": total}))
            columns = None if done.columns is None else asked_for(done.columns, asked["columns"])
            jobs = [_words(job) for job in done.jobs]
            fatal = done.fatal is not None
            connection.send(
                {"state": done.state, "error": done.error, "fatal": fatal, "columns": columns, "jobs": jobs}
            )
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            connection.send({"state": "failed", "error": str(error), "fatal": True, "columns": None, "jobs": []})


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


def main() -> None:
    """Entry point of a worker: file descriptor of the socket."""
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
