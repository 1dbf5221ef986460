"""Serial executor: one task after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from vauban.core.parameters import Parameters
from vauban.jobs.executors import Tasks, registry
from vauban.jobs.perform import Performed, Task, perform


@registry.register("serial")
@dataclass(frozen=True)
class Serial(Parameters):
    """One task after the other, in this process, with any objects."""

    def run(self, tasks: Tasks, tell: Callable[[Task, int, int], None]) -> Iterator[tuple[Task, Performed]]:
        for task in tasks:
            assert task is not None, "a task waits for nothing that runs"
            yield task, perform(task, partial(tell, task))
