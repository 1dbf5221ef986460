"""Schedules: the factor on the learning rate, by the progress of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch

from vauban.core.errors import ContractError

Schedule = Literal["constant", "cosine", "linear"] | Callable[[float], float]


def constant(progress: float) -> float:
    """1."""
    return 1.0


def cosine(progress: float) -> float:
    """Half a cosine, from 1 to 0."""
    return float(0.5 * (1 + torch.cos(torch.tensor(torch.pi * progress))))


def linear(progress: float) -> float:
    """From 1 to 0 along a line."""
    return 1 - progress


SCHEDULES: Mapping[str, Callable[[float], float]] = {"constant": constant, "cosine": cosine, "linear": linear}


def schedule_of(schedule: Schedule) -> Callable[[float], float]:
    """The function that a schedule stands for. Raises ContractError for another name."""
    if callable(schedule):
        return schedule
    if schedule not in SCHEDULES:
        raise ContractError(f"expected a schedule among {', '.join(SCHEDULES)} or a function, got {schedule!r}")
    return SCHEDULES[schedule]
