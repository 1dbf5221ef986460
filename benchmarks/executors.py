"""What executors cost: `python -m benchmarks.executors`.

A study over worker processes against the same study with one worker, each with one thread: times of the work alone, from
the first finished batch after the workers have started to the last. And of Ray: start, and what a unit of work costs.
"""

from __future__ import annotations

import heapq
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from benchmarks import setting
from benchmarks.tables import Row, publish, table
from vauban.core.contracts import Part
from vauban.evaluate.study import Study
from vauban.jobs.executors import Executor
from vauban.jobs.executors.processes import Processes
from vauban.jobs.executors.ray import LOCAL, ActorPool, connect
from vauban.jobs.executors.units import Unit, Units
from vauban.jobs.perform import Task
from vauban.jobs.progress import Progress

BATCH, CLUSTER = 16, (2, 8, 16, 64)
WARM = 2  # batches of each worker that are not counted: those before all have made the study again


@dataclass(frozen=True)
class Spread:
    """A study that was spread over workers.

    Attributes:
        whole: Seconds of the whole run.
        batches: Seconds at which its batches had ended, from the start of the run.
        workers: Number of workers.
    """

    whole: float
    batches: Sequence[float]
    workers: int

    @property
    def pace(self) -> float:
        """Seconds of a batch once all workers are at work."""
        counted = self.batches[WARM * self.workers - 1 :]
        return (counted[-1] - counted[0]) / (len(counted) - 1)


def spread(executor: Executor, workers: int, words: dict[str, object]) -> Spread:
    """Run a study of words in a folder that is new."""
    ended: list[float] = []

    def tell(progress: Progress) -> None:
        ended.append(time.perf_counter() - began)

    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder) / "run", preflight=False, **words)  # type: ignore[arg-type]
        began = time.perf_counter()
        study.run(tell, executor=executor)
        return Spread(time.perf_counter() - began, ended, workers)


def efficiency(words: dict[str, object], workers: int, rounds: int) -> tuple[list[Row], float]:
    """Rows for one worker and for several, and the median over the rounds of the share of the ideal.

    The ideal is the pace of one worker, divided by the number of workers. Both have one thread each.
    """
    runs: dict[int, list[Spread]] = {1: [], workers: []}
    for number in range(rounds):
        for count in (1, workers) if number % 2 else (workers, 1):  # a machine that drifts favours nobody
            runs[count].append(spread(Processes(count, threads=1), count, words))
    shares = [one.pace / several.pace / workers for one, several in zip(runs[1], runs[workers], strict=True)]
    rows: list[Row] = [
        [f"processes, {count}", statistics.median(s.pace for s in one), statistics.median(s.whole for s in one)]
        for count, one in runs.items()
    ]
    return rows, statistics.median(shares)


def overhead(units: int) -> list[Row]:
    """Seconds until Ray has started with one worker, and of a unit of work without work in it."""
    import ray

    began = time.perf_counter()
    connect(LOCAL, 1)
    started = time.perf_counter() - began
    pool = ActorPool(1, 1, lambda task, done, total: None)
    while not pool.free():
        list(pool.answers())
    worker = pool.idle()
    ready = time.perf_counter() - began - started
    asked = {"words": {"call": "builtins:dict", "arguments": {}}, "key": "", "parts": [0], "columns": [], "threads": 1}
    costs = []
    for _ in range(units):
        began = time.perf_counter()
        worker.send(asked)  # what is refused as no job comes back as fast as an answer can
        ray.get(next(worker.stream))
        costs.append(time.perf_counter() - began)
    pool.close()
    return [
        ["cluster on this machine", started],
        ["a worker in it", ready],
        ["a unit, median", statistics.median(costs)],
    ]


def simulated(workers: int, parts: int, seconds: float, overhead: float, seed: int = 0) -> float:
    """Share of the ideal that many workers reach, simulated: units as they are given out, and parts of random length.

    Args:
        workers: Number of workers.
        parts: Number of parts of one cell.
        seconds: Mean of a part; its logarithm is normal with a standard deviation of 0.2.
        overhead: Seconds that a unit costs beside its parts.
        seed: Of the lengths.
    """
    lengths = np.random.default_rng(seed).lognormal(np.log(seconds), 0.2, parts)
    work: Any = SimpleNamespace(key="simulated", compute=None)
    tasks = [Task(work, Part(i, torch.arange(1)), parts - 1 - i) for i in range(parts)]
    units = Units(iter(tasks), workers)
    at_work = [(0.0, worker, Unit.of([])) for worker in range(workers)]
    ended = 0.0
    while at_work:
        now, worker, done = heapq.heappop(at_work)
        for task in done.tasks:
            units.took(task, float(lengths[_index(task)]))
        if (unit := units.next()) is not None:
            spent = overhead + sum(float(lengths[_index(task)]) for task in unit.tasks)
            heapq.heappush(at_work, (now + spent, worker, unit))
            ended = max(ended, now + spent)
    return float(lengths.sum()) / (workers * ended)


def _index(task: Task) -> int:
    assert task.part is not None
    return task.part.index


def main() -> None:
    parser = setting.arguments("Executors", images=512, rounds=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--attack", default="pgd:steps=40,eps=0.1")
    parser.add_argument("--units", type=int, default=200, help="units of work of Ray; 0 leaves Ray out")
    options = setting.read(parser)
    words: dict[str, object] = {
        "data": f"digits/test[:{options.images}]",
        "models": "digits-cnn",
        "attacks": options.attack,
        "batch_size": BATCH,
    }
    rows, share = efficiency(words, options.workers, options.rounds)
    text = table(["workers of one thread", "seconds of a batch", "seconds of the run"], rows)
    text += f"\n\n{options.workers} workers reach {share:.2f} of the ideal, the median of {options.rounds} rounds."
    text += "\n\n" + table(
        ["simulated: 50 000 images in batches of 64, 10 ms for each unit", *(f"{n} workers" for n in CLUSTER)],
        [
            [f"{seconds:g} s a batch", *(simulated(n, 782, seconds, 0.01) for n in CLUSTER)]
            for seconds in (0.1, 1.0, 10.0)
        ],
    )
    if options.units:
        text += "\n\n" + table(["Ray", "seconds"], overhead(options.units))
    machine = f"digits-cnn in batches of {BATCH}, {options.attack}, wall time, {setting.machine()}"
    publish("executors", text, machine, options.write)


if __name__ == "__main__":
    main()
