"""Selection of the network that a training keeps, by what is measured after each epoch."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import TYPE_CHECKING

from vauban.core.parameters import Parameters

if TYPE_CHECKING:
    from torch import nn

    from vauban.engine.samples import Samples


class Selection(Parameters):
    """A rule of selection; subclasses are frozen dataclasses.

    Attributes:
        measures: Whether samples are needed on which each epoch's network is measured.
    """

    @property
    def measures(self) -> bool:
        return True

    def check(self, network: nn.Module, held: Samples) -> None:
        """Look at what is about to be measured, before anything is trained. Raises ContractError: it cannot be."""

    def score(self, network: nn.Module, held: Samples, seed: int) -> float | None:
        """What the network of an epoch is worth, larger is better; None where each takes the place of the one before.

        Args:
            network: As it stands after the epoch; it is left in its modes.
            held: Samples that were not trained on.
            seed: Of the random numbers, the same after each epoch.
        """
        return None

    def __str__(self) -> str:
        from vauban.core.spelling import spelled

        return spelled(self) if is_dataclass(self) else type(self).__name__.lower()
