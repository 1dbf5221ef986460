"""Pool of workers and units of work, with workers inside this process: what is given out, lost, given again and skipped."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from vauban.core.contracts import Artefact, Computed, Job, Part, Words
from vauban.core.errors import NoGradient
from vauban.jobs.executors import pool, worker
from vauban.jobs.executors.kept import kept
from vauban.jobs.executors.pool import LIVES, Answer, Pool, RemoteExecutor, RemoteWorker
from vauban.jobs.executors.units import SECONDS, Unit, Units
from vauban.jobs.perform import split
from vauban.jobs.progress import Progress
from vauban.jobs.runner import run


@dataclass(eq=False)
class Doubles:
    """The doubles of its samples, two to a part, kept in memory."""

    n: int
    breaks: int = -1
    rows: dict[int, list[int]] = field(default_factory=dict)
    errors: list[tuple[int, str]] = field(default_factory=list)
    label: str = "doubles"
    key: str = "doubles"

    def identity(self) -> Mapping[str, Any]:
        return {"n": self.n}

    def needs(self) -> Sequence[Job | Artefact]:
        return ()

    def words(self) -> Words | None:
        return Words("doubles:made", {})

    def parts(self) -> Sequence[Part]:
        return [Part(i, p) for i, p in enumerate(torch.arange(self.n).split(2))]

    def compute(self, part: Part, scratch: Path) -> Computed:
        if part.index == self.breaks:
            raise NoGradient("nothing to follow")
        return Computed({"success": (2 * part.positions).tolist()})

    def lock(self, part: Part) -> Any:
        return nullcontext(True)

    def stored(self, part: Part) -> bool:
        return part.index in self.rows

    def keep(self, part: Part, computed: Computed, seconds: float) -> None:
        self.rows[part.index] = list(computed.columns["success"])

    def fail(self, part: Part, error: str, traceback: str) -> None:
        self.errors.append((part.index, error))


class Inside(RemoteWorker):
    """A worker that answers here; it dies at a part as often as `deaths` says."""

    def __init__(self, deaths: Counter[int]) -> None:
        self.deaths, self.said, self.ended = deaths, deque[Answer | None](), False

    def send(self, asked: Mapping[str, Any]) -> None:
        for index in asked["parts"]:
            if self.deaths[index]:
                self.deaths[index] -= 1
                self.said.append(None)
                return
            self.said.extend(worker.answers({**asked, "parts": [index]}, lambda done, total: None))

    def end(self) -> None:
        self.ended = True


@dataclass(eq=False)
class InsidePool(Pool[Inside]):
    """Workers in this process, asked in turn."""

    mortal: Counter[int] = field(default_factory=Counter)
    started: list[Inside] = field(default_factory=list)

    def free(self) -> bool:
        return len(self.busy) < self.size

    def idle(self) -> Inside:
        for member in self.workers:
            if member.unit is None:
                return member
        self.workers.append(Inside(self.mortal))
        self.started.append(self.workers[-1])
        return self.workers[-1]

    def answers(self) -> Iterator[tuple[Inside, Answer | None]]:
        for member in self.busy:
            yield member, member.said.popleft()

    def close(self) -> None:
        for member in self.workers:
            member.end()


@dataclass(frozen=True)
class InsideExecutor(RemoteExecutor):
    """An executor of these."""

    members: InsidePool

    def pool(self, tell: pool.Tell) -> InsidePool:
        return self.members


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Doubles:
    made = Doubles(40)
    monkeypatch.setattr(worker, "recalled", lambda call, arguments: made)
    return made


def spread(size: int = 2, deaths: Mapping[int, int] | None = None) -> InsideExecutor:
    return InsideExecutor(InsidePool(size, 1, lambda task, done, total: None, mortal=Counter(deaths or {})))


@pytest.mark.parametrize("deaths", [{}, {0: 1}, {7: 2}, {3: 1, 9: 2}])
def test_rows_are_all_there_whoever_dies(job: Doubles, deaths: dict[int, int]) -> None:
    executor, told = spread(deaths=deaths), []
    (outcome,) = run([job], executor, lambda progress: told.append(progress.done))
    assert (outcome.state, outcome.failures) == ("finished", 0)
    assert job.rows == {i: [4 * i, 4 * i + 2] for i in range(20)}
    assert told == list(range(2, 42, 2))
    assert len(executor.members.started) == 2 + sum(deaths.values())
    assert all(member.ended for member in executor.members.started)


def test_a_part_that_kills_workers_fails_alone(job: Doubles) -> None:
    (outcome,) = run([job], spread(deaths={5: 10}))
    assert (outcome.state, outcome.failures) == ("failed", 1)
    assert sorted(job.rows) == [i for i in range(20) if i != 5]
    assert job.errors == [(5, f"{LIVES} worker processes died over it (killed, or out of memory?)")]


def test_units_hold_each_part_once_and_end_with_single_ones(job: Doubles) -> None:
    job = replace(job, n=400)
    units, lengths = Units(iter(split(job)), 2), []
    given: list[int] = []
    while (unit := units.next()) is not None:
        lengths.append(len(unit.tasks))
        given += [task.part.index for task in unit.tasks if task.part is not None]
        for task in unit.tasks:
            units.took(task, 0.0)
    assert given == list(range(200))
    assert units.exhausted
    assert lengths[:2] == [1, 199 // 4]
    assert lengths[-4:] == [1, 1, 1, 1]
    assert len(lengths) < 30
    left = 200
    for length in lengths[1:]:  # what follows keeps the other worker at work at least as long
        left -= length
        assert length <= max(1, left)


@pytest.mark.parametrize(("pace", "length"), [(SECONDS * 2, 1), (SECONDS / 3.5, 3), (1e-9, 25)])
def test_a_unit_takes_about_as_long_as_is_wanted(job: Doubles, pace: float, length: int) -> None:
    tasks = split(replace(job, n=200))
    units = Units(iter(tasks), 2)
    units.took(tasks[0], pace)
    unit = units.next()
    assert isinstance(unit, Unit)
    assert len(unit.tasks) == length


def test_a_unit_ends_where_the_next_job_begins_and_where_nothing_may_begin(job: Doubles) -> None:
    other = Doubles(40, key="other")
    one, two = split(job), split(other)
    units = Units(iter([one[0], two[0], None, two[1]]), 1)
    units.took(one[0], 0.0)
    units.took(two[0], 0.0)
    named = [
        None if unit is None else [(t.work.label, t.part) for t in unit.tasks] for unit in (units.next(), units.next())
    ]
    assert named == [[("doubles", one[0].part)], [("doubles", two[0].part)]]
    again = units.next()
    assert again is not None
    assert again.tasks[0] is two[1]


def test_behind_a_part_that_ends_its_job_the_rest_of_a_unit_is_skipped(job: Doubles) -> None:
    job.breaks = 4
    asked = {"words": {"call": "", "arguments": {}}, "key": "doubles", "columns": ["success"], "threads": 1}
    answers = list(worker.answers({**asked, "parts": [3, 4, 5, 6]}, lambda done, total: None))
    assert [answer["state"] for answer in answers] == ["made", "ended", "skipped", "skipped"]
    assert answers[0]["columns"] == {"success": [12, 14]}
    assert sorted(job.rows) == [3]


def test_messages_of_workers_are_said_here(job: Doubles, caplog: pytest.LogCaptureFixture) -> None:
    executor = spread(size=1)
    executor.members.idle().said.append({"log": "out of memory with 8 samples", "level": 30})
    run([job], executor)
    assert caplog.messages == ["out of memory with 8 samples"]


def test_kept_workers_serve_several_runs_and_are_ended_after_the_last_or_an_interruption(job: Doubles) -> None:
    executor = spread()

    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with kept(executor) as workers:
        for _ in range(2):
            job.rows.clear()
            run([job], workers)
            assert len(job.rows) == 20
        assert [member.ended for member in executor.members.started] == [False, False]
        job.rows.clear()
        with pytest.raises(KeyboardInterrupt):
            run([job], workers, interrupt)
        assert all(member.ended for member in executor.members.started)
