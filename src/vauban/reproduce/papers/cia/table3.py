"""Table 3: CIA on the sum of all five losses, judged by each network and by their vote."""

from __future__ import annotations

from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.cia.setting import (
    NETWORKS,
    SOURCE,
    both_rates,
    cia,
    five,
    on,
    printed_cells,
    thorough,
    through,
)
from vauban.reproduce.registry import register

CSV = "cia-table3.csv"


def cells(scale: Scale) -> list[TableCell]:
    whole = Craft(cia(4), through(NETWORKS))
    found = printed_cells(CSV, lambda row: Craft(cia(float(row["delta_255"])), through(NETWORKS)))
    found += both_rates(whole, Judge(NETWORKS, rule="mean"), "Δ=4, mean of the probabilities instead of a vote")
    for curve in ("sigmoid", "sin"):
        craft = Craft(cia(4, curve=curve), through(NETWORKS))
        found += both_rates(craft, on("Vote"), f"Δ=4, g = {curve}, vote")
    if thorough(scale):
        found += both_rates(Craft(cia(4, steps=100), through(NETWORKS)), on("Vote"), "Δ=4, 100 iterations, vote")
    return found


@register("cia-3")
def table3() -> Experiment:
    """CIA on five networks at once, equation (4)."""
    return Experiment(
        "cia-3",
        "Table 3: attacking all five networks at once",
        SOURCE,
        cells,
        five(small=8, paper=18000),
        CSV,
        ambiguous="the vote's rule and its ties are not stated; plurality with ties by summed probability is used",
    )
