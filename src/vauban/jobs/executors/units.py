"""Units of work: a range of the parts of one job that a worker performs in a row, or one artefact."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from vauban.jobs.executors import Tasks
from vauban.jobs.perform import Task, place

SECONDS = 1.0
"""How long a unit takes: a hundred times what handing it to another machine costs."""
END: Any = object()


@dataclass(eq=False)
class Unit:
    """Tasks of one job, or one artefact, that are not answered yet."""

    tasks: deque[Task]

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> Unit:
        return cls(deque(tasks))


@dataclass(eq=False)
class Units:
    """Units from a stream of tasks, short enough that no worker idles at the end of a job.

    A unit has as many parts as take about `SECONDS`, and at most its share of half of what is left of its job: what is
    left shrinks, and so do units, down to single parts. The first one of a job is a single part, since nothing is known
    of its pace.

    Attributes:
        tasks: The stream.
        workers: Workers among which units are given out.
        again: Units to be given out before others.
        exhausted: Whether the stream has ended.
    """

    tasks: Tasks
    workers: int
    again: deque[Unit] = field(default_factory=deque)
    exhausted: bool = False
    _paces: dict[str, float] = field(default_factory=dict)
    _held: Task | None = None

    def next(self) -> Unit | None:
        """The next unit; None where nothing may begin now."""
        if self.again:
            return self.again.popleft()
        first, self._held = (self._held or next(self.tasks, END)), None
        if first is END:
            self.exhausted = True
        if first is END or first is None:
            return None
        tasks = [first]
        for _ in range(self.length(first) - 1):
            task = next(self.tasks, None)  # the stream does not end before what it gave has ended
            if task is None:
                break
            if task.work is not first.work:
                self._held = task
                break
            tasks.append(task)
        return Unit.of(tasks)

    def length(self, first: Task) -> int:
        """Number of parts of a unit that begins with a task."""
        pace = self._paces.get(place(first.work))
        if first.part is None or pace is None:
            return 1
        share = (first.after + 1) // (2 * self.workers)
        return max(1, min(share, int(SECONDS / max(pace, 1e-6))))

    def took(self, task: Task, seconds: float) -> None:
        """Note how long a part took."""
        self._paces[place(task.work)] = seconds
