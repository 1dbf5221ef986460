"""Figure 3: only a band at the top and the right may change."""

from __future__ import annotations

from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.cia.setting import SOURCE, cia, on, single, through
from vauban.reproduce.printed import rows_of
from vauban.reproduce.registry import register

CSV = "cia-figure3.csv"


def cells(scale: Scale) -> list[TableCell]:
    craft = Craft(cia(32), through(["IncV3_a"]), mask="band")
    found = [TableCell(craft, on("IncV3_a"), row["metric"], row, row["item"]) for row in rows_of(CSV)]
    for delta in (8, 16, 32):
        banded = Craft(cia(delta), through(["IncV3_a"]), mask="band")
        found.append(
            TableCell(banded, on("IncV3_a"), "targeted_success_rate", {}, f"band, Δ={delta}: targeted success rate")
        )
    return found


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
