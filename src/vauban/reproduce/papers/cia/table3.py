"""Table 3: CIA on the sum of all five losses, judged by each network and by their vote."""

from __future__ import annotations

from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.cia.setting import (
    NETWORKS,
    SOURCE,
    VOTE,
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
ALL_FIVE = through(NETWORKS)


def cells(scale: Scale) -> list[TableCell]:
    printed = printed_cells(CSV, lambda row: Craft(cia(float(row["delta_255"])), ALL_FIVE))
    mean = Judge(NETWORKS, rule="mean")
    beyond = both_rates(Craft(cia(4), ALL_FIVE), mean, "Δ=4, mean of the probabilities instead of a vote")
    for curve in ("sigmoid", "sin"):
        beyond += both_rates(Craft(cia(4, curve=curve), ALL_FIVE), on("Vote"), f"Δ=4, g = {curve}, vote")
    if thorough(scale):
        beyond += both_rates(Craft(cia(4, steps=100), ALL_FIVE), on("Vote"), "Δ=4, 100 iterations, vote")
    return printed + beyond


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
        ambiguous=VOTE,
    )
