"""What a plan will cost, before it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vauban.core.losses import cross_entropy
from vauban.engine import Cascade, Restarts, Search, Steps, Within
from vauban.evaluate.cell import Cell


@dataclass(frozen=True)
class Estimate:
    """Passes per sample and seconds for a cell, both upper bounds: finished samples are dropped. None: not known."""

    cell: Cell
    forwards: int | None
    backwards: int | None
    seconds: float | None


def passes(attack: Any) -> tuple[int, int] | None:
    """Forward and backward passes per sample that an attack makes at most; None where it does not say."""
    own = getattr(attack, "passes", None)
    if own is not None:
        forwards, backwards = own
        return int(forwards), int(backwards)
    if isinstance(attack, Within):
        return passes(attack.attack)
    if isinstance(attack, Restarts):
        return _times(passes(attack.attack), attack.times)
    if isinstance(attack, Search):
        return _times(passes(attack.attack), attack.rounds)
    if isinstance(attack, Cascade):
        each = [passes(a) for a in attack.attacks]
        known = [p for p in each if p is not None]
        return (sum(f for f, _ in known), sum(b for _, b in known)) if len(known) == len(each) else None
    return (attack.steps + 1, attack.steps) if isinstance(attack, Steps) else None


def estimate(cells: Sequence[Cell]) -> list[Estimate]:
    """Time one small batch of each defended model and multiply."""
    timed: dict[int, tuple[float, float]] = {}
    out = []
    for cell in cells:
        if id(cell.defended) not in timed:
            timed[id(cell.defended)] = _time(cell)
        forward, backward = timed[id(cell.defended)]
        count = passes(cell.attack.value)
        if count is None:
            out.append(Estimate(cell, None, None, None))
            continue
        each = cell.threat.draws * len(cell.threat.networks)
        forwards, backwards = count[0] * (each if count[1] else 1), count[1] * each
        if cell.threat.confirm:
            forwards += count[1]
        if cell.threat.budget is not None:
            forwards, backwards = min(forwards, cell.threat.budget), min(backwards, cell.threat.budget)
        out.append(Estimate(cell, forwards, backwards, len(cell.data) * (forwards * forward + backwards * backward)))
    return out


def _time(cell: Cell) -> tuple[float, float]:
    """Seconds per sample of a forward and of a backward pass."""
    batch = cell.data.take(min(cell.settings.batch_size, 64)).to(cell.settings.device)
    ask = cell.threat.open(batch.x, batch.y, cell.goal, batch.ids)
    question = ask.scores if "scores" in cell.threat.grants else ask.labels
    grants = cell.threat.grants
    forward = _clock(lambda: question(batch.x)) if grants & {"scores", "labels"} else 0.0
    if "gradients" not in grants:
        return forward / len(batch), 0.0
    both = _clock(lambda: ask.gradient(batch.x, cross_entropy)) / (cell.threat.draws * len(cell.threat.networks))
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


def _times(count: tuple[int, int] | None, n: int) -> tuple[int, int] | None:
    return None if count is None else (count[0] * n, count[1] * n)
