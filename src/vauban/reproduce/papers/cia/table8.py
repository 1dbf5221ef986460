"""Table 8: JPEG at Q = 80, 70, 50, 20 against CIA on IncV3_a, which ignores it."""

from __future__ import annotations

from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.papers.cia.setting import SOURCE, Row, cia, jpeg_deployed, printed_cells, single, through
from vauban.reproduce.registry import register

CSV = "cia-table8.csv"


def craft(row: Row) -> Craft:
    return Craft(cia(16), through(["IncV3_a"]), targeted=row["attack"] == "CIA-targeted")


def cells(scale: Scale) -> list[TableCell]:
    return printed_cells(CSV, craft, jpeg_deployed)


@register("cia-8")
def table8() -> Experiment:
    """CIA on IncV3_a, whose images are then JPEG-coded."""
    return Experiment(
        "cia-8",
        "Table 8: JPEG against CIA",
        SOURCE,
        cells,
        single(small=20, paper=400, cifar=0.3),
        CSV,
        ambiguous=(
            Ambiguity(
                "the untargeted loss is not stated; the cross-entropy of the true label is maximised",
                {"attack": "untargeted"},
            ),
        ),
    )
