"""Pool of workers that make jobs again from their words: what executors in other processes share."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch

from vauban.core.contracts import is_job
from vauban.core.errors import ContractError
from vauban.core.parameters import Parameters
from vauban.jobs.executors import Tasks
from vauban.jobs.executors.units import Unit, Units
from vauban.jobs.perform import Performed, Task, place
from vauban.jobs.recall import recalled

log = logging.getLogger("vauban")
Tell = Callable[[Task, int, int], None]
Answer = Mapping[str, Any]
LIVES = 3  # workers that may die over one task before it counts as failed
SHOWN = ("success", "radius", "value")  # columns that progress is told of


class RemoteWorker(ABC):
    """A worker somewhere else, and the unit it is at."""

    unit: Unit | None = None

    @abstractmethod
    def send(self, asked: Mapping[str, Any]) -> None:
        """Give the worker a unit; that it has died is seen when its answer is read."""

    @abstractmethod
    def end(self) -> None:
        """End the worker, whatever it is at."""


W = TypeVar("W", bound=RemoteWorker)


@dataclass(eq=False)
class Pool(ABC, Generic[W]):
    """Workers that are given units, and replaced where they die.

    Attributes:
        size: Number of workers.
        threads: Threads of each for the parts of jobs.
        tell: Called as tell(task, done, total) while an artefact is made.
    """

    size: int
    threads: int
    tell: Tell
    workers: list[W] = field(default_factory=list)
    deaths: Counter[tuple[str, int]] = field(default_factory=Counter)

    @abstractmethod
    def free(self) -> bool:
        """Whether a unit could be given to a worker now."""

    @abstractmethod
    def idle(self) -> W:
        """A worker without a unit, where there is room for one."""

    @abstractmethod
    def answers(self) -> Iterator[tuple[W, Answer | None]]:
        """What workers say next, after a wait for the first of them; None of a worker that has died."""

    @abstractmethod
    def close(self) -> None:
        """End all workers."""

    @property
    def busy(self) -> list[W]:
        return [worker for worker in self.workers if worker.unit is not None]

    def run(self, tasks: Tasks) -> Iterator[tuple[Task, Performed]]:
        units = Units(tasks, self.size)
        while True:
            while self.free() and (unit := units.next()) is not None:
                self._give(unit)
            if units.exhausted and not self.busy:
                return
            for worker, answer in self.answers():
                yield from self._take(units, worker, answer)

    def _give(self, unit: Unit) -> None:
        work, parts = unit.tasks[0].work, [task.part.index for task in unit.tasks if task.part is not None]
        words = work.words()
        if words is None:
            raise ContractError(
                f"{work.label}: expected words that another process can read, got an object of this one; name it as "
                "file.py:name, or run with one worker"
            )
        worker = self.idle()
        worker.unit = unit
        worker.send(
            {
                "words": {"call": words.call, "arguments": dict(words.arguments)},
                "key": place(work),
                "parts": parts if is_job(work) else None,
                "columns": list(SHOWN),
                # A training is the only work whose sums are split by thread: it has all of this process's.
                "threads": self.threads if is_job(work) else torch.get_num_threads(),
            }
        )

    def _take(self, units: Units, worker: W, answer: Answer | None) -> Iterator[tuple[Task, Performed]]:
        if answer is None:
            yield from self._died(units, worker)
        elif "log" in answer:
            log.log(answer["level"], "%s", answer["log"])
        elif worker.unit is not None and "state" in answer:
            task = worker.unit.tasks.popleft()
            if not worker.unit.tasks:
                worker.unit = None
            units.took(task, answer["seconds"])
            yield task, _performed(answer)
        elif worker.unit is not None:
            self.tell(worker.unit.tasks[0], answer["done"], answer["total"])

    def _died(self, units: Units, worker: W) -> Iterator[tuple[Task, Performed]]:
        """Replace a worker: the first task that it has not answered is the one that it was at."""
        self.workers.remove(worker)
        worker.end()
        if worker.unit is None:
            return
        task, *rest = worker.unit.tasks
        units.again.extend([Unit.of(rest)] if rest else [])
        name = place(task.work), -1 if task.part is None else task.part.index
        self.deaths[name] += 1
        if self.deaths[name] < LIVES:
            units.again.append(Unit.of([task]))
            return
        reason = f"{LIVES} worker processes died over it (killed, or out of memory?)"
        if task.part is not None:
            task.work.fail(task.part, reason, "")  # type: ignore[union-attr]
            yield task, Performed("failed", error=reason)
        else:
            yield task, Performed("failed", error=reason, fatal=ContractError(f"{task.work.label}: {reason}"))


class RemoteExecutor(Parameters, ABC):
    """Executor whose workers get jobs as words, and files by content, and make the jobs again.

    Rows are those of a serial run bit for bit: random numbers are keyed by sample, and parts stay what they are. A worker
    that dies is replaced and its tasks given to another.
    """

    @property
    def elsewhere(self) -> bool:
        """Whether workers may be on other machines, which see this one's files in shared folders alone."""
        return False

    @abstractmethod
    def pool(self, tell: Tell) -> Pool[Any]:
        """The workers, none of them at work."""

    def run(self, tasks: Tasks, tell: Tell) -> Iterator[tuple[Task, Performed]]:
        pool = self.pool(tell)
        try:
            yield from pool.run(tasks)
        finally:
            pool.close()


def _performed(answer: Answer) -> Performed:
    fatal = ContractError(answer["error"]) if answer["fatal"] else None
    jobs = tuple(recalled(words["call"], words["arguments"]) for words in answer["jobs"])
    return Performed(answer["state"], answer["columns"], answer["error"], fatal, jobs)
