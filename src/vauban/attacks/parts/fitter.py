"""Attacks that are fitted on images before they are run on others: what fits them, and what a fit has cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from vauban.core.contracts import Batch
from vauban.core.goals import Goal
from vauban.engine import Attack, BoundThreat

A = TypeVar("A")
FitCallback = Callable[[int, float], None]
"""Told, after every pass over the images, how many there were and the rate it left."""


@dataclass(frozen=True)
class FitResult(Generic[A]):
    """The fitted attack, and apart from what running it will cost, what fitting it did.

    rate: the share of the `images` fitted on that reach the goal with the fitted attack. epochs: passes over the images.
    forwards, backwards: passes through the network, over all images and epochs.
    """

    attack: A
    rate: float
    images: int
    epochs: int
    forwards: int
    backwards: int


class Fitter(Protocol):
    """Hyper-parameters of an attack that has to be fitted, a frozen dataclass registered in `attacks.fitters`.

    `fit` goes through the door that the threat opens on each batch; the batches are gone through more than once. `save`
    writes what was fitted with `meta` beside it, whole or not at all; `load` gives the attack that a file holds.
    """

    def fit(
        self,
        threat: BoundThreat,
        batches: Iterable[Batch],
        goal: Goal = ...,
        *,
        seed: int = ...,
        callback: FitCallback | None = ...,
    ) -> FitResult[Any]: ...
    def save(self, fitted: FitResult[Any], path: Path, meta: dict[str, Any]) -> None: ...
    def load(self, path: Path) -> Attack: ...
