"""Benchmark of an evaluation: entries whose best attack is known, and sound networks, as cells of rates."""

from __future__ import annotations

from dataclasses import dataclass

from vauban.reproduce.declarations import TableCell


@dataclass(frozen=True)
class Standing:
    """An entry of a benchmark, as cells of rates.

    Attributes:
        name, mechanism, claim, budget: For a reader.
        inside: Whether the budget lies inside the paper's claim.
        sound: Whether it is a control.
        clean: Accuracy without attack.
        by_hand: Under each of the best attacks known.
        white_box, default: Under white-box alone, and with every way of the automatic threat; cells of one study.
        adaptive: By the card; None where there is none.
    """

    name: str
    mechanism: str
    claim: str
    budget: str
    inside: bool
    sound: bool
    clean: TableCell
    by_hand: tuple[TableCell, ...]
    white_box: TableCell
    default: TableCell
    adaptive: TableCell | None = None

    @property
    def cells(self) -> list[TableCell]:
        """Every cell, in the order in which `EntryResult.of` takes their rows."""
        last = [] if self.adaptive is None else [self.adaptive]
        return [self.clean, *self.by_hand, self.white_box, self.default, *last]


@dataclass(frozen=True)
class Benchmark:
    """A table of what was found of each entry, and one of how often by mechanism."""

    title: str
    standings: tuple[Standing, ...]

    @property
    def cells(self) -> list[TableCell]:
        return [cell for one in self.standings for cell in one.cells]
