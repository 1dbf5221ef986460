"""Processes executor: tasks spread over worker processes on this machine, each with threads of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from vauban.core.errors import ContractError
from vauban.core.parameters import Count, Parameters
from vauban.jobs.executors import Tasks
from vauban.jobs.perform import Performed, Task, place
from vauban.jobs.recall import recalled

LIVES = 3  # workers that may die over one task before it counts as failed
SHOWN = ("success", "radius", "value")  # columns that progress is told of


@dataclass(frozen=True)
class Processes(Parameters):
    """Worker processes that get jobs as words, and files by content, and make the jobs again.

    Rows are those of a serial run bit for bit: random numbers are keyed by sample, and parts stay what they are. A worker
    that dies is replaced and its task given to another.

    Attributes:
        workers: Number of processes.
        threads: Threads of each for the parts of jobs; None shares this process's threads among them. An artefact is made
            with all of this process's threads, since gradients of parameters are summed in an order that follows from them.
    """

    workers: Count = 2
    threads: Count | None = None

    def run(self, tasks: Tasks, tell: Callable[[Task, int, int], None]) -> Iterator[tuple[Task, Performed]]:
        threads = self.threads or max(1, torch.get_num_threads() // self.workers)
        pool = _Pool(self.workers, threads, tell)
        try:
            yield from pool.run(tasks)
        finally:
            pool.close()


@dataclass(eq=False)
class _Worker:
    """A process, the socket to it, and the task it is at."""

    process: subprocess.Popen[bytes]
    connection: Connection
    task: Task | None = None

    @classmethod
    def start(cls) -> _Worker:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "vauban.jobs.executors.worker", str(theirs.fileno())]
        paths = os.pathsep.join(dict.fromkeys(path for path in sys.path if path))
        with theirs:
            process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env={**os.environ, "PYTHONPATH": paths}, stdin=subprocess.DEVNULL
            )
        return cls(process, Connection(ours.detach()))

    def send(self, message: Mapping[str, Any] | None) -> None:
        """Send a message; that the process has died is seen when its answer is read."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()


@dataclass(eq=False)
class _Pool:
    size: int
    threads: int
    tell: Callable[[Task, int, int], None]
    workers: list[_Worker] = field(default_factory=list)
    deaths: Counter[tuple[str, int]] = field(default_factory=Counter)
    again: list[Task] = field(default_factory=list)

    def run(self, tasks: Tasks) -> Iterator[tuple[Task, Performed]]:
        exhausted = False
        while True:
            while not exhausted and len(self.busy) < self.size:
                task = self.again.pop() if self.again else next(tasks, _END)
                if task is _END:
                    exhausted = True
                elif task is None:
                    break
                else:
                    self._give(task)
            if exhausted and self.again:
                exhausted = False
                continue
            if not self.busy:
                assert exhausted, "tasks wait for nothing that runs"
                return
            yield from self._ended()

    @property
    def busy(self) -> list[_Worker]:
        return [worker for worker in self.workers if worker.task is not None]

    def _give(self, task: Task) -> None:
        words = task.work.words()
        if words is None:
            raise ContractError(
                f"{task.work.label}: expected words that another process can read, got an object of this one; name it as "
                "file.py:name, or run with one worker"
            )
        worker = self._idle()
        worker.task = task
        worker.send(
            {
                "words": {"call": words.call, "arguments": dict(words.arguments)},
                "key": place(task.work),
                "part": None if task.part is None else task.part.index,
                "columns": list(SHOWN),
                # A training is the only work whose sums are split by thread: it has all of this process's.
                "threads": torch.get_num_threads() if task.part is None else self.threads,
            }
        )

    def _idle(self) -> _Worker:
        for worker in self.workers:
            if worker.task is None:
                return worker
        self.workers.append(_Worker.start())
        return self.workers[-1]

    def _ended(self) -> Iterator[tuple[Task, Performed]]:
        ready = wait([worker.connection for worker in self.busy])
        for worker in [worker for worker in self.busy if worker.connection in ready]:
            try:
                answer = worker.connection.recv()
            except (EOFError, ConnectionResetError, OSError):
                yield from self._died(worker)
                continue
            task = worker.task
            assert task is not None
            if "state" in answer:
                worker.task = None
                yield task, _performed(answer)
            else:
                self.tell(task, answer["done"], answer["total"])

    def _died(self, worker: _Worker) -> Iterator[tuple[Task, Performed]]:
        task = worker.task
        assert task is not None
        self.workers.remove(worker)
        worker.end()
        name = place(task.work), -1 if task.part is None else task.part.index
        self.deaths[name] += 1
        if self.deaths[name] < LIVES:
            self.again.append(task)
            return
        reason = f"{LIVES} worker processes died over it (killed, or out of memory?)"
        if task.part is not None:
            task.work.fail(task.part, reason, "")  # type: ignore[union-attr]
            yield task, Performed("failed", error=reason)
        else:
            yield task, Performed("failed", error=reason, fatal=ContractError(f"{task.work.label}: {reason}"))

    def close(self) -> None:
        for worker in self.workers:
            if worker.task is None:
                worker.send(None)
                worker.connection.close()
                worker.process.wait()
            else:
                worker.end()


_END: Any = object()


def _performed(answer: Mapping[str, Any]) -> Performed:
    fatal = ContractError(answer["error"]) if answer["fatal"] else None
    jobs = tuple(recalled(words["call"], words["arguments"]) for words in answer["jobs"])
    return Performed(answer["state"], answer["columns"], answer["error"], fatal, jobs)
