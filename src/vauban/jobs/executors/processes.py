"""Processes executor: tasks spread over worker processes on this machine, each with threads of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from vauban.core.parameters import Count
from vauban.jobs.executors import registry
from vauban.jobs.executors.pool import Answer, Pool, RemoteExecutor, RemoteWorker, Tell


@registry.register("processes")
@dataclass(frozen=True)
class Processes(RemoteExecutor):
    """Worker processes on this machine.

    Attributes:
        workers: Number of processes.
        threads: Threads of each for the parts of jobs; None shares this process's threads among them. An artefact is made
            with all of this process's threads, since gradients of parameters are summed in an order that follows from them.
    """

    workers: Count = 2
    threads: Count | None = None

    def pool(self, tell: Tell) -> ProcessPool:
        return ProcessPool(self.workers, self.threads or max(1, torch.get_num_threads() // self.workers), tell)


@dataclass(eq=False)
class WorkerProcess(RemoteWorker):
    """A process and the socket to it."""

    process: subprocess.Popen[bytes]
    connection: Connection

    @classmethod
    def start(cls) -> WorkerProcess:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "vauban.jobs.executors.worker", str(theirs.fileno())]
        paths = os.pathsep.join(dict.fromkeys(path for path in sys.path if path))
        with theirs:
            process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env={**os.environ, "PYTHONPATH": paths}, stdin=subprocess.DEVNULL
            )
        return cls(process, Connection(ours.detach()))

    def send(self, asked: Mapping[str, Any] | None) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(asked)

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()


@dataclass(eq=False)
class ProcessPool(Pool[WorkerProcess]):
    """Worker processes, each started when there is work for it."""

    def free(self) -> bool:
        return len(self.busy) < self.size

    def idle(self) -> WorkerProcess:
        for worker in self.workers:
            if worker.unit is None:
                return worker
        self.workers.append(WorkerProcess.start())
        return self.workers[-1]

    def answers(self) -> Iterator[tuple[WorkerProcess, Answer | None]]:
        busy = self.busy
        assert busy, "tasks wait for nothing that runs"
        ready = wait([worker.connection for worker in busy])
        for worker in busy:
            if worker.connection in ready:
                try:
                    answer = worker.connection.recv()
                except (EOFError, ConnectionResetError, OSError):
                    answer = None
                yield worker, answer

    def close(self) -> None:
        for worker in self.workers:
            if worker.unit is None:
                worker.send(None)
                worker.connection.close()
                worker.process.wait()
            else:
                worker.end()
