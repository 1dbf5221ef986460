"""Table 10: CIA on four networks, judged by all five and their vote."""

from __future__ import annotations

from vauban.reproduce.declarations import Craft, Scale, TableCell
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
    through,
)
from vauban.reproduce.registry import register
from vauban.threats import Diverse, Translated

CSV = "cia-table10.csv"
KNOWN = [name for name in NETWORKS if name != "IncV4"]


def cells(scale: Scale) -> list[TableCell]:
    printed = printed_cells(CSV, lambda row: Craft(cia(16), through(KNOWN)))
    made_to_transfer = Craft(cia(16), through(KNOWN, Translated(size=3, sigma=1.0), Diverse()))
    untargeted = Craft(cia(16), through(KNOWN), targeted=False)
    beyond = [
        cell
        for judge in ("IncV4", "Vote")
        for cell in both_rates(made_to_transfer, on(judge), f"input diversity and translation invariance, {judge}")
    ]
    return printed + beyond + both_rates(untargeted, on("IncV4"), "untargeted, IncV4")


@register("cia-10")
def table10() -> Experiment:
    """CIA on all networks but one."""
    return Experiment(
        "cia-10",
        "Table 10: attacking all networks but IncV4",
        SOURCE,
        cells,
        five(small=2.5, paper=4700),
        CSV,
        ambiguous=VOTE,
    )
