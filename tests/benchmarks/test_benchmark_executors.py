"""The benchmark of executors counts as it says; what it measures is never asserted."""

from __future__ import annotations

import pytest
from benchmarks.executors import Spread

from benchmarks import executors
from vauban.jobs.executors.serial import Serial


def test_the_pace_leaves_out_the_start_of_every_worker() -> None:
    late = [5.0, 6.0, 6.5, 9.0, 10.0, 11.0, 12.0]  # two workers: four batches until both are warm
    assert Spread(13.0, late, 2).pace == 1.0
    assert Spread(13.0, late, 1).pace == pytest.approx((12 - 6) / 5)


def test_rows_have_each_number_of_workers_and_the_share_of_the_ideal(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(executor: object, workers: int, words: object) -> Spread:
        return Spread(2.0, [i / (0.9 * workers) for i in range(20)], workers)

    monkeypatch.setattr(executors, "spread", run)
    rows, share = executors.efficiency({}, 2, 3)
    assert rows == [["processes, 1", pytest.approx(1 / 0.9), 2.0], ["processes, 2", pytest.approx(1 / 1.8), 2.0]]
    assert share == pytest.approx(1.0)


def test_the_simulation_knows_what_is_known() -> None:
    assert executors.simulated(1, 30, 2.0, 0.0) == pytest.approx(1.0)
    assert executors.simulated(60, 30, 2.0, 0.0) < 0.5  # half of the workers have nothing
    slow, fast = (executors.simulated(4, 400, 0.1, overhead) for overhead in (1.0, 0.001))
    assert slow < 0.75 < 0.95 < fast


def test_a_study_is_timed_batch_by_batch() -> None:
    words: dict[str, object] = {"data": "digits/test[:12]", "models": "digits-cnn", "attacks": "fgsm:eps=0.1"}
    one = executors.spread(Serial(), 1, {**words, "batch_size": 4})
    assert len(one.batches) == 3
    assert one.batches == sorted(one.batches)
    assert one.batches[-1] <= one.whole
