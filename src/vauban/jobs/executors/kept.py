"""Workers that stay from one run to the next: a study runs cells, then audits, then planted tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vauban.jobs.executors import Executor, Tasks
from vauban.jobs.executors.pool import Pool, RemoteExecutor, Tell
from vauban.jobs.perform import Performed, Task


class KeptWorkers:
    """An executor whose workers stay from one run to the next, with what they have made again.

    Args:
        executor: The executor.
    """

    def __init__(self, executor: RemoteExecutor) -> None:
        self._executor = executor
        self._pool: Pool[Any] | None = None

    def run(self, tasks: Tasks, tell: Tell) -> Iterator[tuple[Task, Performed]]:
        pool = self._pool or self._executor.pool(tell)
        self._pool, pool.tell = None, tell
        try:
            yield from pool.run(tasks)
            self._pool = pool
        finally:
            if self._pool is not pool:  # some are at work for nobody
                pool.close()

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()


@contextmanager
def kept(executor: Executor) -> Iterator[Executor]:
    """An executor for several runs in a row, whose workers, where it has any, are ended after the last."""
    if not isinstance(executor, RemoteExecutor):
        yield executor
        return
    workers = KeptWorkers(executor)
    try:
        yield workers
    finally:
        workers.close()
