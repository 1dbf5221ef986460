"""Artefacts: made once and kept by content, awaited by other processes, resumed, and what follows where one fails."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.clocks import set_clock

from vauban.core.contracts import Artefact, Computed, Job, Part, Words
from vauban.core.errors import ContractError
from vauban.jobs.perform import obtain
from vauban.jobs.runner import Outcome, run
from vauban.store import files


@dataclass(eq=False)
class Counted:
    """A file that holds the numbers below ten, written through a file in scratch that grows by one number a step.

    Attributes:
        path: The file.
        stop: The step at which making it fails with an OSError; None for never.
        wait: Called at every step.
        required: What comes first.
        steps: The steps that were taken, in this process.
    """

    path: Path
    stop: int | None = None
    wait: Callable[[int], object] = lambda step: None
    required: Sequence[Any] = ()
    steps: list[int] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"counting {self.path.stem}"

    def identity(self) -> Mapping[str, Any]:
        return {"counted": 10}

    def needs(self) -> Sequence[Job | Artefact]:
        return self.required

    def words(self) -> Words | None:
        return None

    def make(self, scratch: Path, tell: Callable[[int, int], None]) -> None:
        grown = scratch / "grown"
        (scratch / "folder").mkdir(exist_ok=True)
        for step in range(len(grown.read_text()) if grown.exists() else 0, 10):
            self.wait(step)
            if step == self.stop:
                raise OSError("the disk is full")
            grown.write_text("".join(map(str, range(step + 1))))
            self.steps.append(step)
            tell(step + 1, 10)
        files.write_atomic(self.path, lambda temporary: temporary.write_text(grown.read_text()) and None)


@dataclass(eq=False)
class Reading:
    """One part that reads a file, which must be there."""

    key: str
    required: Sequence[Any]
    read: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        return self.key

    def identity(self) -> Mapping[str, Any]:
        return {"reading": self.key}

    def needs(self) -> Sequence[Job | Artefact]:
        return self.required

    def words(self) -> Words | None:
        return None

    def parts(self) -> Sequence[Part]:
        return [Part(0, torch.arange(2))]

    def compute(self, part: Part, scratch: Path) -> Computed:
        return Computed({"text": [need.path.read_text() for need in self.required if hasattr(need, "make")]})

    def lock(self, part: Part) -> Any:
        return contextlib.nullcontext(True)

    def stored(self, part: Part) -> bool:
        return False

    def keep(self, part: Part, computed: Computed, seconds: float) -> None:
        self.read += computed.columns["text"]

    def fail(self, part: Part, error: str, traceback: str) -> None:
        raise AssertionError(error)


def states(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.job.key: outcome.state for outcome in outcomes}


def test_made_once_and_told(tmp_path: Path) -> None:
    network, told = Counted(tmp_path / "nets" / "a.bin"), list[tuple[str, int, int]]()
    one, two = Reading("one", [network]), Reading("two", [network])
    outcomes = run([one, two], tell=lambda p: told.append((p.work.label, p.done, p.total)))
    assert states(outcomes) == {"one": "finished", "two": "finished"}
    assert network.steps == list(range(10))
    assert (one.read, two.read) == (["0123456789"], ["0123456789"])
    assert told == [(network.label, n, 10) for n in range(1, 11)] + [("one", 2, 2), ("two", 2, 2)]
    again = Counted(network.path)
    assert obtain(again) is False
    assert not again.steps
    assert sorted(path.name for path in network.path.parent.iterdir()) == [".a.bin.json", ".a.bin.lock", "a.bin"]


def test_changed_bytes_are_refused_in_one_line(tmp_path: Path) -> None:
    network = Counted(tmp_path / "a.bin")
    obtain(network)
    network.path.write_text("012345678")
    reading = Reading("one", [network])
    with pytest.raises(
        ContractError, match="expected the file that was made for counting a, got other bytes"
    ) as caught:
        run([reading])
    assert "\n" not in str(caught.value)
    assert not reading.read
    network.path.unlink()
    run([reading])
    assert reading.read == ["0123456789"]


def test_an_interrupted_make_goes_on_from_its_scratch(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"):
        obtain(Counted(tmp_path / "a.bin", stop=4))
    network = Counted(tmp_path / "a.bin")
    assert obtain(network) is True
    assert network.steps == [4, 5, 6, 7, 8, 9]
    assert network.path.read_text() == "0123456789"
    assert not network.path.with_name(f".{network.path.name}.part").exists()


def test_a_failed_artefact_fails_what_needs_it_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = Counted(tmp_path / "a.bin", stop=0)
    fitted = Counted(tmp_path / "fitted.bin", required=[network])
    jobs = [Reading("one", [network]), Reading("two", [fitted]), Reading("other", [Counted(tmp_path / "b.bin")])]
    assert states(run(jobs)) == {"one": "failed", "two": "failed", "other": "finished"}
    assert "counting a: failed: OSError: the disk is full (tried again at the next run)" in caplog.text
    assert not fitted.steps
    network.stop = None
    assert set(states(run(jobs)).values()) == {"finished"}


def test_an_artefact_is_made_after_the_job_that_it_needs(tmp_path: Path) -> None:
    first = Counted(tmp_path / "a.bin")
    images = Reading("images", [first])
    seen: list[int] = []
    fitted = Counted(tmp_path / "b.bin", wait=lambda step: seen.append(len(images.read)), required=[images, first])
    assert states(run([Reading("judging", [fitted])])) == {"judging": "finished"}
    assert seen == [1] * 10


def _make_when_told(path: Path, started: Event, go_on: Event) -> None:
    def wait(step: int) -> None:
        if step == 5:
            started.set()
            go_on.wait(60)

    obtain(Counted(path, wait=wait))


def test_a_second_process_waits_and_does_not_make_it_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked = multiprocessing.get_context("fork")
    started, go_on = forked.Event(), forked.Event()
    process = forked.Process(target=_make_when_told, args=(tmp_path / "a.bin", started, go_on))
    process.start()
    assert started.wait(60)
    waits: list[float] = []

    def let_go(pause: float) -> None:
        waits.append(pause)
        go_on.set()
        process.join(60)

    set_clock(monkeypatch, files, sleep=let_go)
    network = Counted(tmp_path / "a.bin")
    assert obtain(network) is False
    assert process.exitcode == 0
    assert len(waits) == 1
    assert not network.steps
    assert "counting a: another process makes it; waiting" in caplog.text
    assert network.path.read_text() == "0123456789"
