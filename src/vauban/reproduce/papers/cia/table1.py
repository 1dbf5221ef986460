"""Table 1: accuracy of the five networks before any attack."""

from __future__ import annotations

from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.cia.setting import SOURCE, five, printed_cells
from vauban.reproduce.registry import register

CSV = "cia-table1.csv"


@register("cia-1")
def table1() -> Experiment:
    """Clean accuracy of the five networks."""
    return Experiment(
        "cia-1",
        "Table 1: accuracy before attacks",
        SOURCE,
        lambda scale: printed_cells(CSV, lambda row: None),
        five(small=0.1, paper=20),
        CSV,
    )
