"""Estimate of what a plan will cost, before it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vauban.core.answers import revealed
from vauban.core.losses import cross_entropy
from vauban.engine import Oracle
from vauban.evaluate.cell import Cell
from vauban.evaluate.planted.job import planted_in
from vauban.evaluate.planted.planting import FORWARDS
from vauban.evaluate.queries import drifts


@dataclass(frozen=True)
class CostEstimate:
    """Passes per sample and seconds for a cell, both upper bounds: finished samples are dropped. None: not known.

    Attributes:
        cell: The cell.
        forwards, backwards: Passes per sample.
        seconds: Of the whole cell.
        forward_seconds: Of one forward pass of one sample; None: not known.
    """

    cell: Cell
    forwards: int | None
    backwards: int | None
    seconds: float | None
    forward_seconds: float | None


@dataclass(frozen=True)
class PlantedEstimate:
    """What the planted tests of a study cost at most, beside running the attacks that they test once more.

    Attributes:
        tests: One for each network and budget.
        images: Of each test.
        forwards: For an image.
        seconds: Of all tests.
    """

    tests: int
    images: int
    forwards: int
    seconds: float


def planted_estimate(estimates: Sequence[CostEstimate], images: int) -> PlantedEstimate | None:
    """What the planted tests cost at most; None where there is none.

    Args:
        estimates: Of the cells.
        images: Of a test, at most.
    """
    tests: dict[tuple[Any, ...], float] = {}
    for known in estimates:
        ball = planted_in(known.cell)
        asked = "gradients" in revealed(known.cell.defended)  # in what only answers nothing is planted
        if asked and ball is not None and known.forward_seconds is not None:
            tests[id(known.cell.defended), ball.norm.name, float(ball.radius)] = known.forward_seconds
    if not tests or not images:
        return None
    n = min(images, len(estimates[0].cell.data))
    return PlantedEstimate(len(tests), n, FORWARDS, n * FORWARDS * sum(tests.values()))


def estimate(cells: Sequence[Cell]) -> list[CostEstimate]:
    """Time one small batch of each defended model and multiply."""
    timed: dict[int, tuple[float, float] | None] = {}
    out = []
    for cell in cells:
        if id(cell.defended) not in timed:
            timed[id(cell.defended)] = None if drifts(cell.defended) else _time(cell)  # images may cost money
        each_pass = timed[id(cell.defended)]
        forward = None if each_pass is None else each_pass[0]
        count = cell.attack.value.passes
        if count is None:
            out.append(CostEstimate(cell, None, None, None, forward))
            continue
        each = cell.threat.draws * len(cell.threat.networks)
        forwards, backwards = count[0] * (each if count[1] else 1), count[1] * each
        if cell.threat.confirm:
            forwards += count[1]
        if cell.threat.budget is not None:
            forwards, backwards = min(forwards, cell.threat.budget), min(backwards, cell.threat.budget)
        whole = None if each_pass is None else len(cell.data) * (forwards * each_pass[0] + backwards * each_pass[1])
        out.append(CostEstimate(cell, forwards, backwards, whole, forward))
    return out


def _time(cell: Cell) -> tuple[float, float]:
    """Seconds per sample of a forward and of a backward pass."""
    batch = cell.data.take(min(cell.settings.batch_size, 64)).to(cell.settings.device)
    oracle = Oracle.open(cell.threat, batch.x, batch.y, cell.goal, batch.ids)
    question = oracle.scores if "scores" in cell.threat.grants else oracle.labels
    grants = cell.threat.grants
    forward = _clock(lambda: question(batch.x)) if grants & {"scores", "labels"} else 0.0
    if "gradients" not in grants:
        return forward / len(batch), 0.0
    both = _clock(lambda: oracle.gradient(batch.x, cross_entropy)) / (cell.threat.draws * len(cell.threat.networks))
    forward = forward or both / 3
    return forward / len(batch), max(both - forward, 0.0) / len(batch)


def _clock(call: Any) -> float:
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
