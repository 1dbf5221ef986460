"""Experiment: the cells of a table, its figures, and its scales."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vauban.reproduce.claims import Claim
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.figures import Panel


@dataclass(frozen=True)
class Ambiguity:
    """Something that a paper's text leaves open, and the cells whose numbers it bears on.

    Attributes:
        text: What is left open, and what is done here.
        where: Columns of the printed table, each with a regular expression that is searched in the cell's value; a cell
            counts if all match. Empty: every cell.
    """

    text: str
    where: Mapping[str, str] = field(default_factory=dict)

    def covers(self, key: Mapping[str, str]) -> bool:
        """Whether it bears on the cell with this printed row."""
        return all(re.search(pattern, key.get(column, "")) for column, pattern in self.where.items())


@dataclass(frozen=True)
class Experiment:
    """A table or figure of a paper.

    Attributes:
        id: Name on the command line.
        title: Heading of its page.
        source: The paper.
        cells: Numbers at a scale.
        scales: How much is run, by name.
        printed: CSV with the printed values, packaged or a path; None without any.
        printed_n: Size of the paper's sample, in images.
        ambiguous: What the text leaves open, each with the cells it bears on: only there may a difference be blamed on it.
        notes: Sentences below the table.
        panels: Figures at a scale.
        claims: Sentences of the paper that its cells answer.
    """

    id: str
    title: str
    source: str
    cells: Callable[[Scale], Sequence[TableCell]]
    scales: Mapping[str, Scale]
    printed: str | None
    printed_n: int = 1000
    ambiguous: tuple[Ambiguity, ...] = ()
    notes: tuple[str, ...] = ()
    panels: Callable[[Scale], Sequence[Panel]] | None = None
    claims: tuple[Claim, ...] = ()

    def open_for(self, key: Mapping[str, str]) -> str:
        """What the text leaves open for the cell with this printed row, "" for nothing."""
        return "; ".join(one.text for one in self.ambiguous if one.covers(key))
