"""Fitting of attacks on images before they are run on others: the interface, and the result with its cost."""

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
"""Called as callback(images, rate) after every pass over the images, with their number and the rate reached."""


@dataclass(frozen=True)
class FitResult(Generic[A]):
    """A fitted attack, and what fitting it cost, apart from what running it will.

    Attributes:
        attack: The fitted attack.
        rate: Share of the images fitted on that reach the goal with it.
        images: Images fitted on.
        epochs: Passes over the images.
        forwards, backwards: Passes through the network, over all images and epochs.
    """

    attack: A
    rate: float
    images: int
    epochs: int
    forwards: int
    backwards: int


class Fitter(Protocol):
    """Hyper-parameters of an attack that has to be fitted, a frozen dataclass registered in `attacks.fitters`."""

    def fit(
        self,
        threat: BoundThreat,
        batches: Iterable[Batch],
        goal: Goal = ...,
        *,
        seed: int = ...,
        callback: FitCallback | None = ...,
    ) -> FitResult[Any]:
        """Fit the attack to images.

        Args:
            threat: Access to the network.
            batches: Images, gone through more than once.
            goal: What the attack is to reach.
            seed: Of a random network.
            callback: Called after every pass over the images.
        """

    def save(self, fitted: FitResult[Any], path: Path, meta: dict[str, Any]) -> None:
        """Write what was fitted with `meta` beside it, whole or not at all."""

    def load(self, path: Path) -> Attack:
        """The attack that a file holds."""
