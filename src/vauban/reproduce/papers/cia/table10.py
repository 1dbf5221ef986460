"""Table 10: CIA on four networks, judged by all five and their vote."""

from __future__ import annotations

from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.cia.setting import NETWORKS, SOURCE, both_rates, cia, five, on, printed_cells, through
from vauban.reproduce.registry import register
from vauban.threats import Diverse, Translated

CSV = "cia-table10.csv"
KNOWN = [name for name in NETWORKS if name != "IncV4"]


def cells(scale: Scale) -> list[TableCell]:
    craft = Craft(cia(16), through(KNOWN))
    found = printed_cells(CSV, lambda row: craft)
    made = Craft(cia(16), through(KNOWN, Translated(size=3, sigma=1.0), Diverse()))
    for judged in ("IncV4", "Vote"):
        found += both_rates(made, on(judged), f"input diversity and translation invariance, {judged}")
    untargeted = Craft(cia(16), through(KNOWN), targeted=False)
    return found + both_rates(untargeted, on("IncV4"), "untargeted, IncV4")


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
        ambiguous="the vote's rule and its ties are not stated; plurality with ties by summed probability is used",
    )
