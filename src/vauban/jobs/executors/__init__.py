"""Executors: where tasks are performed. One file each; an executor yields every task with how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from vauban.core.registry import Registry
from vauban.jobs.perform import Performed, Task

Tasks = Iterator[Task | None]
"""Tasks in the order in which they may begin; None where nothing may begin before another task has ended."""


class Executor(Protocol):
    """Performs tasks as they become ready."""

    def run(self, tasks: Tasks, tell: Callable[[Task, int, int], None]) -> Iterator[tuple[Task, Performed]]:
        """Each task with how it ended, as it ends.

        Args:
            tasks: Asked for the next task whenever there is room for one.
            tell: Called as tell(task, done, total) while an artefact is made.
        """
        ...


registry: Registry[Callable[..., Executor]] = Registry("executor", "vauban.jobs.executors")
"""Executors by name, as `--executor` takes them."""
