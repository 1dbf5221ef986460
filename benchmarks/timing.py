"""Times that can be compared: every contender has its turn in every round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Task = Callable[[], object]
Clock = Callable[[], float]


CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""'cpu' is the time of this process: what remains comparable on a machine that others use. For one thread only."""


def interleaved(
    tasks: Mapping[str, Task], rounds: int, once: Sequence[str] = (), clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each task in each of `rounds` rounds A B C C B A A B C ..., after one unmeasured round.

    The tasks named in `once` (the very slow ones) only run in the first measured round.
    """
    for name, task in tasks.items():
        if name not in once:
            task()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(rounds):
        for name, task in list(tasks.items())[:: -1 if number % 2 else 1]:  # a machine that drifts favours nobody
            if number and name in once:
                continue
            started = clock()
            task()
            seconds[name].append(clock() - started)
    return seconds


def ratio(seconds: Mapping[str, list[float]], of: str, to: str) -> float:
    """The median over the rounds of the time of `of` divided by the time of `to` in the same round."""
    return statistics.median(a / b for a, b in zip(seconds[of], seconds[to], strict=False))
