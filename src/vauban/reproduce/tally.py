"""Tally of a plan: its progress as a line for each kind of job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vauban.jobs.progress import Progress
from vauban.reproduce.jobs import CraftJob, JudgeJob, MeasureJob, NetworkMeasureJob
from vauban.reproduce.plan import Plan
from vauban.reproduce.study_job import StudyJob

Told = Callable[[str, int, int], None]
"""(what is being done, samples done, samples in all): a line for trainings, crafting, judging, measuring, evaluating."""
KINDS: Mapping[type, str] = {
    CraftJob: "crafting",
    JudgeJob: "judging",
    MeasureJob: "measuring",
    NetworkMeasureJob: "measuring",
    StudyJob: "evaluating",
}


class Tally:
    """Progress of a plan as a line for each kind of job, with all samples of its kind."""

    def __init__(self, work: Plan, told: Told) -> None:
        samples = len(work.context.data)
        self._told = told
        self._total = dict.fromkeys(KINDS.values(), 0)
        self._done: dict[str, dict[Any, int]] = {name: {} for name in KINDS.values()}
        for job in work.jobs():
            self._total[KINDS[type(job)]] += samples

    def __call__(self, progress: Progress) -> None:
        kind = KINDS.get(type(progress.work))
        if kind is None:
            self._told(progress.work.label, progress.done, progress.total)
            return
        self._done[kind][progress.work] = progress.done
        self._told(kind, sum(self._done[kind].values()), self._total[kind])
