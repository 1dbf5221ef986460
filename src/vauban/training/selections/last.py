"""The last epoch's network."""

from __future__ import annotations

from dataclasses import dataclass

from vauban.training.selection import Selection
from vauban.training.selections import registry


@registry.register("last")
@dataclass(frozen=True)
class LastEpoch(Selection):
    """The network of the last epoch."""

    @property
    def measures(self) -> bool:
        return False
