"""Runner: jobs and what they need, from plan to stored rows, with any executor."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from vauban.core.contracts import Artefact, Job, is_job
from vauban.core.errors import ContractError
from vauban.jobs.executors import Executor, Tasks
from vauban.jobs.executors.serial import Serial
from vauban.jobs.perform import Performed, Task, forget_sizes, obtain, place, split
from vauban.jobs.progress import Progress, Tell
from vauban.jobs.shard import Shard

log = logging.getLogger("vauban")
Need = Literal["awaited", "there", "failed", "elsewhere"]
"""What has become of something that a job needs; elsewhere: other shards have parts of it."""
PAUSE = 0.2  # seconds between two looks at what another process is at


@dataclass(frozen=True)
class Outcome:
    """How a job ended: finished, failed with so many parts that no process could do, or partial, since other shards have
    the rest of its parts."""

    job: Job
    state: Literal["finished", "failed", "partial"]
    failures: int = 0


def run(
    jobs: Iterable[Job], executor: Executor | None = None, tell: Tell | None = None, shard: Shard | None = None
) -> list[Outcome]:
    """Run jobs: what is stored is not made again, what fails is recorded and tried again at the next run.

    Args:
        jobs: In the order in which they begin; taken one by one, so that planning goes on beside the work. What they need
            - artefacts, other jobs - comes first, each once.
        executor: Where tasks are performed; in this process by default.
        tell: Told of every finished part.
        shard: The parts that this process performs; None: all. What needs the rows of a job of which other shards have
            parts that are not stored is left for a run without a shard.

    Returns:
        An outcome for each of the jobs, then for those that they returned.

    Raises:
        VaubanError: A mistake that a user can mend ended the run; what was finished is stored.
    """
    forget_sizes()
    flow = _Flow(iter(jobs), tell or (lambda progress: None), shard)
    for task, performed in (executor or Serial()).run(flow.tasks(), flow.tell_artefact):
        flow.ended(task, performed)
        if performed.fatal is not None:
            raise performed.fatal
    return flow.outcomes()


@dataclass(eq=False)
class _Entry:
    """A job or an artefact on its way.

    Attributes:
        shown: Its outcome is asked for.
        waited: It was said to wait.
        elsewhere: Other shards have parts of it.
        untried: It was left for a run without a shard.
    """

    work: Job | Artefact
    shown: bool = False
    waited: bool = False
    begun: bool = False
    left: int = 0
    done: int = 0
    total: int = 0
    failures: int = 0
    ended: bool = False
    elsewhere: bool = False
    untried: bool = False

    @property
    def state(self) -> Need:
        if not self.begun or self.left:
            return "awaited"
        if self.failures:
            return "failed"
        return "elsewhere" if self.untried or (self.elsewhere and not self._stored) else "there"

    @cached_property
    def _stored(self) -> bool:
        """Whether the other shards are done as well, once this one is."""
        return is_job(self.work) and all(self.work.stored(part) for part in self.work.parts())

    @property
    def outcome(self) -> Literal["finished", "failed", "partial"]:
        return "failed" if self.failures else "partial" if self.elsewhere or self.untried else "finished"


@dataclass(eq=False)
class _Flow:
    """Which task may begin next, and what has become of those that have ended."""

    jobs: Iterator[Job]
    tell: Tell
    shard: Shard | None = None
    entries: dict[str, _Entry] = field(default_factory=dict)
    waiting: deque[_Entry] = field(default_factory=deque)
    returned: deque[Job] = field(default_factory=deque)  # by parts that have ended
    later: list[Task] = field(default_factory=list)  # parts that another process is at

    def tasks(self) -> Tasks:
        """Tasks as they become ready; None while everything waits for a task that runs."""
        exhausted = False
        while True:
            while self.returned:
                self._admit(self.returned.popleft(), shown=True)
            entry = self._next_ready()
            if entry is not None:
                yield from self._begin(entry)
            elif not exhausted:
                job = next(self.jobs, None)
                exhausted = job is None
                if job is not None:
                    self._admit(job, shown=True)
            elif self._running():
                yield None
            elif self.later:
                time.sleep(PAUSE)
                tasks, self.later = self.later, []
                yield from tasks
            else:
                return

    def _next_ready(self) -> _Entry | None:
        """The first whose needs are all there; what needs something that has failed fails without being tried."""
        for _ in range(len(self.waiting)):
            entry = self.waiting.popleft()
            needs = {self._state(need): need for need in entry.work.needs()}
            if "failed" in needs:
                self._fail(entry, needs["failed"])
            elif "elsewhere" in needs:
                self._leave(entry, needs["elsewhere"])
            elif "awaited" in needs:
                self.waiting.append(entry)
            else:
                return entry
        return None

    def _state(self, need: Job | Artefact) -> Need:
        return self.entries[place(need)].state

    def _fail(self, entry: _Entry, need: Job | Artefact) -> None:
        entry.begun = True
        entry.failures = max(1, len(self._tasks_of(entry.work)))
        log.error("%s: not tried, as it needs %s, which failed", entry.work.label, need.label)

    def _leave(self, entry: _Entry, need: Job | Artefact) -> None:
        entry.begun = entry.untried = True
        log.warning(
            "%s: left for a run without a shard, as other shards have parts of %s", entry.work.label, need.label
        )

    def _running(self) -> bool:
        """Whether a task that has begun has not ended and is not put off."""
        return sum(entry.left for entry in self.entries.values()) > len(self.later)

    def _admit(self, work: Job | Artefact, shown: bool = False, above: tuple[str, ...] = ()) -> None:
        """Take in a job or an artefact after what it needs; above: the places of those that need it."""
        at = place(work)
        if at in above:
            raise ContractError(f"{work.label}: expected jobs that can be put in an order, got one that needs itself")
        if at not in self.entries:
            for need in work.needs():
                self._admit(need, above=(*above, at))
            self.entries[at] = _Entry(work)
            self.waiting.append(self.entries[at])
        self.entries[at].shown |= shown

    def _begin(self, entry: _Entry) -> Iterator[Task]:
        tasks = self._tasks_of(entry.work)
        entry.begun, entry.left = True, len(tasks)
        entry.elsewhere = is_job(entry.work) and len(tasks) < len(entry.work.parts())
        entry.total = sum(task.samples for task in tasks)
        for task in tasks:
            if entry.ended:
                entry.left -= 1
            else:
                yield task

    def _tasks_of(self, work: Job | Artefact) -> list[Task]:
        return split(work, self.shard) if is_job(work) else [Task(work)]

    def tell_artefact(self, task: Task, done: int, total: int) -> None:
        self.tell(Progress(task.work, done, total))

    def ended(self, task: Task, performed: Performed) -> None:
        """Note how a task ended."""
        entry = self.entries[place(task.work)]
        if performed.state == "busy":
            if not entry.waited:
                entry.waited = True
                log.warning("%s: another process is at it; waiting", task.work.label)
            self.later.append(task)
            return
        entry.left -= 1
        entry.ended |= performed.state == "ended"
        entry.failures += performed.state in ("failed", "ended")
        entry.done += task.samples
        if task.part is not None and performed.state not in ("ended", "skipped"):
            self.tell(Progress(task.work, entry.done, entry.total, performed.columns, entry.failures))
        self.returned.extend(performed.jobs)

    def outcomes(self) -> list[Outcome]:
        return [
            Outcome(entry.work, entry.outcome, entry.failures)
            for entry in self.entries.values()
            if entry.shown and is_job(entry.work)
        ]


def make(artefact: Artefact, executor: Executor, tell: Callable[[int, int], None]) -> bool:
    """Have the file of one artefact, made where an executor works.

    Returns:
        Whether it was made now; else it was there.

    Raises:
        VaubanError: It could not be made.
    """
    if isinstance(executor, Serial):
        return obtain(artefact, tell)
    ((_, performed),) = executor.run(iter([Task(artefact)]), lambda task, done, total: tell(done, total))
    if performed.state == "failed":
        raise performed.fatal or ContractError(f"{artefact.label}: {performed.error}")
    return performed.state == "made"
