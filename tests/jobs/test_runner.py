"""Runner: what is skipped, tried again, halved, ended and put in order, with jobs that keep their rows in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

import vauban as vb
from vauban.core.contracts import Artefact, Computed, Job, Part, Words
from vauban.core.errors import ContractError, NoGradient
from vauban.jobs.executor_words import executor_of
from vauban.jobs.progress import Progress
from vauban.jobs.runner import Outcome, run
from vauban.jobs.shard import Shard

Behave = Callable[[Part], Sequence[Job]]
Needs = list[Any]


def nothing(part: Part) -> Sequence[Job]:
    return ()


@dataclass(eq=False)
class Squares:
    """The squares of its samples, three to a part.

    Attributes:
        key: The name of the job.
        rows: The store: ids and squares by part.
        ids: The sample ids.
        behave: Called before every computation; it may raise, and the jobs it returns follow from the part.
        required: What comes first.
        log: The parts that were computed: name, number, samples.
        errors: The recorded failures, as number and text.
        busy: Parts that another process has, each as often as it is asked for.
    """

    key: str = "squares"
    rows: dict[int, dict[str, list[int]]] = field(default_factory=dict)
    ids: list[int] = field(default_factory=lambda: list(range(9)))
    behave: Behave = nothing
    required: Needs = field(default_factory=list)
    log: list[tuple[str, int, int]] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)

    @property
    def label(self) -> str:
        return self.key

    def identity(self) -> Mapping[str, Any]:
        return {"squares": self.key}

    def needs(self) -> Sequence[Job | Artefact]:
        return self.required

    def words(self) -> Words | None:
        return None

    def parts(self) -> Sequence[Part]:
        return [Part(i, p) for i, p in enumerate(torch.arange(len(self.ids)).split(3))]

    def samples(self, part: Part) -> list[int]:
        return [self.ids[i] for i in part.positions.tolist()]

    def compute(self, part: Part, scratch: Path) -> Computed:
        self.log.append((self.key, part.index, len(part)))
        jobs = self.behave(part)
        ids = self.samples(part)
        return Computed({"id": ids, "square": [i * i for i in ids]}, jobs=jobs)

    @contextmanager
    def lock(self, part: Part) -> Iterator[bool]:
        mine = part.index not in self.busy
        if not mine:
            self.busy.remove(part.index)
        yield mine

    def stored(self, part: Part) -> bool:
        return self.rows.get(part.index, {}).get("id") == self.samples(part)

    def keep(self, part: Part, computed: Computed, seconds: float) -> None:
        self.rows[part.index] = {name: list(values) for name, values in computed.columns.items()}

    def fail(self, part: Part, error: str, traceback: str) -> None:
        self.errors.append((part.index, error))


def squares(job: Squares) -> dict[int, int]:
    """Every stored sample with its square."""
    return {i: s for rows in job.rows.values() for i, s in zip(rows["id"], rows["square"], strict=True)}


def states(outcomes: list[Outcome]) -> dict[str, tuple[str, int]]:
    return {outcome.job.key: (outcome.state, outcome.failures) for outcome in outcomes}


def computed(job: Squares) -> list[int]:
    return [index for _, index, _ in job.log]


def raising(error: BaseException, at: int | None = None) -> Behave:
    def behave(part: Part) -> Sequence[Job]:
        if at is None or part.index == at:
            raise error
        return ()

    return behave


def test_what_is_stored_is_skipped_and_told() -> None:
    first, told = Squares(), list[tuple[int, int, bool]]()
    run([first])
    assert squares(first) == {i: i * i for i in range(9)}
    del first.rows[1]
    first.log.clear()

    def tell(progress: Progress) -> None:
        told.append((progress.done, progress.total, progress.columns is None))

    assert states(run([first], tell=tell)) == {"squares": ("finished", 0)}
    assert computed(first) == [1]
    assert told == [(3, 9, True), (6, 9, False), (9, 9, True)]


def test_rows_of_other_samples_are_made_again() -> None:
    job = Squares()
    run([job])
    job.log.clear()
    job.ids[4] = 40
    run([job])
    assert computed(job) == [1]
    assert squares(job) == {i: i * i for i in job.ids}


@pytest.mark.parametrize("error", [OSError("down\nfor now"), SystemExit("bye")], ids=["exception", "exit"])
def test_a_failure_is_recorded_and_tried_again(error: BaseException) -> None:
    job, told = Squares(behave=raising(error, at=1)), list[int]()
    outcomes = run([job], tell=lambda progress: told.append(progress.done))
    assert states(outcomes) == {"squares": ("failed", 1)}
    assert job.errors == [(1, f"{type(error).__name__}: {error}")]
    assert set(job.rows) == {0, 2}
    assert told == [3, 6, 9]
    job.behave = nothing
    job.log.clear()
    assert states(run([job])) == {"squares": ("finished", 0)}
    assert computed(job) == [1]


def memory_for(most: int) -> Behave:
    def behave(part: Part) -> Sequence[Job]:
        if len(part) > most:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return ()

    return behave


def test_memory_that_runs_out_halves_parts_for_the_rest_of_the_run() -> None:
    other = Squares("other")
    job = Squares(behave=memory_for(1))
    run([job, other])
    assert [size for _, _, size in job.log] == [3, 1, 1, 1] + [1] * 6
    assert [size for _, _, size in other.log] == [3] * 3
    assert squares(job) == {i: i * i for i in range(9)}
    job.rows.clear()
    job.log.clear()
    job.behave = nothing
    run([job])
    assert [size for _, _, size in job.log] == [3] * 3


def test_memory_that_one_sample_lacks_is_a_failure() -> None:
    job = Squares(behave=memory_for(0))
    assert states(run([job])) == {"squares": ("failed", 3)}
    assert not job.rows


def test_a_network_without_a_gradient_ends_its_own_job() -> None:
    blind, other = Squares("blind", behave=raising(NoGradient("no gradient"))), Squares("other")
    assert states(run([blind, other])) == {"blind": ("failed", 1), "other": ("finished", 0)}
    assert computed(blind) == [0]
    assert set(other.rows) == {0, 1, 2}


def test_a_mistake_of_the_user_ends_the_run_and_keeps_what_was_finished() -> None:
    job, other = Squares(behave=raising(ContractError("expected better"), at=1)), Squares("other")
    with pytest.raises(ContractError, match="expected better"):
        run([job, other])
    assert set(job.rows) == {0}
    assert job.errors == [(1, "expected better")]
    assert not other.log


def test_a_part_that_another_process_is_at_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    job = Squares(busy=[0, 1, 0])
    assert states(run([job])) == {"squares": ("finished", 0)}
    assert computed(job) == [2, 1, 0]
    assert caplog.text.count("another process is at it; waiting") == 1  # once for a job, not for a part


def test_a_need_that_another_process_is_at_is_waited_for() -> None:
    log: list[tuple[str, int, int]] = []
    need = Squares("need", busy=[1], log=log)
    run([Squares(required=[need], log=log), Squares("other", log=log)])
    names = [name for name, _, _ in log]
    assert names == ["need"] * 2 + ["other"] * 3 + ["need"] + ["squares"] * 3


def test_jobs_that_a_part_returns_are_run_after_what_they_need() -> None:
    log: list[tuple[str, int, int]] = []
    need = Squares("need", log=log)
    follower = Squares("follower", required=[need], log=log)
    job = Squares(behave=lambda part: [follower] if part.index == 2 else [], log=log)
    assert states(run([job])) == {"squares": ("finished", 0), "follower": ("finished", 0)}
    assert [name for name, _, _ in log] == ["squares"] * 3 + ["need"] * 3 + ["follower"] * 3


def test_needs_come_first_and_each_once() -> None:
    log: list[tuple[str, int, int]] = []
    bottom = Squares("bottom", log=log)
    left, right = (Squares(name, required=[bottom], log=log) for name in ("left", "right"))
    top = Squares("top", required=[left, right], log=log)
    assert states(run([top, right])) == {"top": ("finished", 0), "right": ("finished", 0)}
    names = list(dict.fromkeys(name for name, _, _ in log))
    assert names == ["bottom", "left", "right", "top"]
    assert len(log) == 12


def test_a_job_whose_need_failed_is_not_tried(caplog: pytest.LogCaptureFixture) -> None:
    broken = Squares("broken", behave=raising(OSError("down"), at=2))
    middle = Squares("middle", required=[broken])
    job, empty, other = Squares(required=[middle]), Squares("empty", required=[middle], ids=[]), Squares("other")
    outcomes = states(run([job, empty, other]))
    assert outcomes == {"squares": ("failed", 3), "empty": ("failed", 1), "other": ("finished", 0)}
    assert not middle.log
    assert not job.log
    assert "squares: not tried, as it needs middle, which failed" in caplog.text


def test_jobs_that_need_each_other_are_refused_in_one_line() -> None:
    one, two = Squares("one"), Squares("two")
    one.required, two.required = [two], [one]
    with pytest.raises(ContractError, match="expected jobs that can be put in an order") as caught:
        run([one])
    assert "\n" not in str(caught.value)
    assert not one.log + two.log


def test_several_workers_refuse_a_job_of_objects() -> None:
    job = Squares()
    with pytest.raises(ContractError, match="squares: expected words that another process can read"):
        run([job], executor_of(workers=2))
    assert not job.log
    with pytest.raises(ContractError, match="expected at least one worker, got 0"):
        executor_of(workers=0)


def test_shards_have_each_part_once_and_what_needs_all_of_them_is_left(caplog: pytest.LogCaptureFixture) -> None:
    below = Squares("below", ids=list(range(12)))
    above = Squares("above", required=[below])
    top = Squares("top", required=[above])
    told: list[tuple[int, int]] = []
    outcomes = run([top], tell=lambda p: told.append((p.done, p.total)), shard=Shard(2, 3))
    assert states(outcomes) == {"top": ("partial", 0)}
    assert (computed(below), computed(above), computed(top)) == ([1], [], [])
    assert told == [(3, 3)]
    assert "above: left for a run without a shard, as other shards have parts of below" in caplog.text
    assert "top: left for a run without a shard, as other shards have parts of above" in caplog.text
    run([below], shard=Shard(1, 3))
    run([top], shard=Shard(3, 3))  # the last one of `below`, and with it all that shard 3 has of `above`
    assert (sorted(computed(below)), computed(above), computed(top)) == ([0, 1, 2, 3], [2], [])
    assert states(run([top])) == {"top": ("finished", 0)}
    assert squares(top) == {i: i * i for i in range(9)}
    assert sorted(computed(above)) == [0, 1, 2]


def test_a_shard_that_has_no_part_of_a_job_is_done() -> None:
    job = Squares()
    assert states(run([job], shard=Shard(5, 5))) == {"squares": ("partial", 0)}
    assert not job.log
    assert states(run([job], shard=Shard(1, 1))) == {"squares": ("finished", 0)}


@pytest.mark.parametrize("words", [{"executor": "ray:address=auto"}, {"shard": "1/2"}])
def test_rows_that_others_make_need_a_folder(words: dict[str, str]) -> None:
    """Told before the network is made: no such model is no matter yet."""
    with pytest.raises(ContractError, match=r"expected out of measure as a folder .* give out=FOLDER"):
        vb.measure("loss-sensitivity", "no-such-model", "digits/test[:4]", **words)
    with pytest.raises(ContractError, match=r"expected out of certify as a folder .* give out=FOLDER"):
        vb.certify("ibp", "no-such-model", "digits/test[:4]", **words)
