"""Figure 3: CIA on IncV3_a where only a band at the top and the right may change."""

from __future__ import annotations

from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.cia.setting import SOURCE, cia, on, single, through
from vauban.reproduce.printed import rows_of
from vauban.reproduce.registry import register

CSV = "cia-figure3.csv"


def banded(delta: float) -> Craft:
    return Craft(cia(delta), through(["IncV3_a"]), mask="band")


def cells(scale: Scale) -> list[TableCell]:
    judge, metric = on("IncV3_a"), "targeted_success_rate"
    printed = [TableCell(banded(32), judge, row["metric"], row, row["item"]) for row in rows_of(CSV)]
    return printed + [
        TableCell(banded(delta), judge, metric, {}, f"band, Δ={delta}: targeted success rate") for delta in (8, 16, 32)
    ]


@register("cia-fig3")
def figure3() -> Experiment:
    """Partial crafting."""
    return Experiment(
        "cia-fig3",
        "Figure 3: crafting in a 50-pixel band",
        SOURCE,
        cells,
        single(small=75, paper=600, cifar=0.4),
        CSV,
        printed_n=1,
        notes=("The band is 50 of 299 pixels at the top and the right, scaled with the image; elsewhere Δ = 0.",),
    )
