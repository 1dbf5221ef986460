"""Table 5: the images of Table 4, judged where no filter is deployed."""

from __future__ import annotations

from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.cia.setting import FILTER, SOURCE, cia, present, printed_cells, single, through
from vauban.reproduce.registry import register

CSV = "cia-table5.csv"


def cells(scale: Scale) -> list[TableCell]:
    through_filter = Craft(cia(4), through(["IncV3_a"], FILTER))
    return present(printed_cells(CSV, lambda row: through_filter, deployed=lambda row: ()), scale)


@register("cia-5")
def table5() -> Experiment:
    """The same images where no filter is deployed."""
    return Experiment(
        "cia-5",
        "Table 5: the same attack where the defence does not filter",
        SOURCE,
        cells,
        single(small=1, paper=200, cifar=0.3),
        CSV,
    )
