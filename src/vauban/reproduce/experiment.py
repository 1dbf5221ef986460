"""Experiment: the cells of a table, its figures, and its scales."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.figures import Panel


@dataclass(frozen=True)
class Experiment:
    """A table or figure of a paper. printed: the CSV with the printed values, packaged or a path; printed_n: their
    sample size.

    ambiguous: what the text leaves open that bears on the numbers, "" for nothing. `cells` may depend on the scale, and so
    may `panels`, its figures.
    """

    id: str
    title: str
    source: str
    cells: Callable[[Scale], Sequence[TableCell]]
    scales: Mapping[str, Scale]
    printed: str | None
    printed_n: int = 1000
    ambiguous: str = ""
    notes: tuple[str, ...] = ()
    panels: Callable[[Scale], Sequence[Panel]] | None = None
