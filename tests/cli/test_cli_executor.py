"""`--executor` and `--shard`: their words, mistakes in one line before anything runs, shards into one folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.jobs.stored_parts import stored_parts

from vauban.jobs import executor_words
from vauban.jobs.executors import Tasks, worker
from vauban.jobs.perform import Performed, Task, place

Run = Callable[..., Any]
SMALL = ("--batch-size", "2", "--no-preflight")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--executor", "ray:gpu=1"], "unknown parameter of executor 'ray': 'gpu'; did you mean 'gpus'?"),
        (["--executor", "rey"], "unknown executor 'rey'; did you mean 'ray'?"),
        (
            ["--executor", "ray:address=ray://head:1"],
            "expected the address of a Ray cluster as auto or host:port, got ray:",
        ),
        (["--executor", "processes:workers=0"], "expected workers of Processes as a whole number of at least 1, got 0"),
        (["--executor", "mine.py:Shift"], "unknown executor 'mine.py:Shift'; known: processes, ray, serial"),
        (
            ["--executor", "serial", "--workers", "2"],
            "expected an executor or a number of workers, got serial and 2 workers",
        ),
        (["--shard", "3/2"], "expected a shard i/n with i from 1 to n, got 3/2"),
        (["--shard", "0/2"], "expected a shard i/n with i from 1 to n, got 0/2"),
        (["--shard", "two"], "expected a shard i/n, such as 1/8, got 'two'"),
        (["--shard", "1/2", "--fail-under", "0.5"], "expected --fail-under in the last run, without --shard"),
        (["--shard", "1/2", "--json"], "expected --json in the last run, without --shard"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(words: list[str], told: str, evaluate: Run, project: Path) -> None:
    ran = evaluate(*words)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert told in ran.err
    assert not (project / "run").exists()


def test_ray_that_is_not_installed_is_named_with_its_extra(
    evaluate: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = evaluate("--executor", "ray")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "the executor 'ray' needs the package 'ray'; install it with: pip install 'vauban[ray]'" in ran.err


def test_shards_write_into_one_folder_and_the_last_run_ends_the_work(evaluate: Run, vauban: Run, project: Path) -> None:
    second = evaluate(*SMALL, "--shard", "2/3")
    assert second.code == 0
    assert second.out.splitlines()[-1] == (
        "shard 2/3: done; vauban status run shows all of them; when all are done, run the same command once without "
        "--shard"
    )
    assert [Path(path).stem for path in stored_parts(project / "run")] == ["00001"]
    assert not (project / "run" / "report.html").exists()
    status = vauban("status", "run")
    assert "2/8  partial" in status.out
    assert evaluate(*SMALL, "--shard", "1/3").code == 0
    assert sorted(Path(path).stem for path in stored_parts(project / "run")) == ["00000", "00001", "00003"]
    last = evaluate(*SMALL)
    assert last.code == 0
    assert (project / "run" / "report.html").exists()
    evaluate(*SMALL, "--out", "whole", "--executor", "serial")
    assert stored_parts(project / "run") == stored_parts(project / "whole")


@pytest.mark.parametrize(
    "words",
    [
        ("measure", "--metric", "loss-sensitivity"),
        ("certify", "--certificate", "smoothing:sigma=0.25,n=20", "--attack", "none"),
    ],
    ids=lambda words: words[0],
)
def test_shards_of_measurements_and_certificates(words: tuple[str, ...], vauban: Run, project: Path) -> None:
    base = ("--model", "mine.py:net", "--data", "digits/test[:6]", "--batch-size", "2", "--out", "run")
    ran = vauban(*words, *base, "--shard", "2/2")
    assert (ran.code, "shard 2/2: done" in ran.out) == (0, True), ran.err
    assert [Path(path).stem for path in stored_parts(project / "run")] == ["00001"]
    assert vauban(*words, *base).code == 0
    assert sorted(Path(path).stem for path in stored_parts(project / "run")) == ["00000", "00001", "00002"]


class ByWords:
    """What a worker does with the words that it gets, in this process."""

    def run(self, tasks: Tasks, tell: Callable[[Task, int, int], None]) -> Iterator[tuple[Task, Performed]]:
        for task in tasks:
            assert task is not None
            words = task.work.words()
            assert words is not None
            asked = {"words": {"call": words.call, "arguments": json.loads(json.dumps(words.arguments))}}
            asked |= {"key": place(task.work), "parts": None, "columns": [], "threads": torch.get_num_threads()}
            (answer,) = worker.answers(asked, partial(tell, task))
            yield task, Performed(answer["state"], error=answer["error"])


@pytest.mark.slow
def test_training_where_an_executor_works_writes_the_same_file(
    vauban: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", "--model", "digits-cnn", "--data", "digits/train[:20]", "--epochs", "2", "--holdout", "0")
    here = vauban(*words, "--out", "a.safetensors")
    monkeypatch.setattr(executor_words, "executor_of", lambda executor: ByWords())
    there = vauban(*words, "--out", "b.safetensors", "--executor", "ray")
    assert (here.code, there.code) == (0, 0)
    assert (project / "a.safetensors").read_bytes() == (project / "b.safetensors").read_bytes()
    untimed = [line.rpartition(" (")[0] for line in here.out.splitlines()[:2]]
    assert there.out.splitlines() == [*untimed, "b.safetensors"]
    assert there.err.splitlines() == ["epoch 1 of 2", "epoch 2 of 2"]
