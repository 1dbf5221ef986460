"""Table 6: the hybrid loss of equation (5) on IncV3_a, with the mean filter and without."""

from __future__ import annotations

from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.papers.cia.setting import (
    FILTER,
    SOURCE,
    both_rates,
    cia,
    hybrid,
    on,
    present,
    printed_cells,
    single,
    thorough,
)
from vauban.reproduce.registry import register

CSV = "cia-table6.csv"


def cells(scale: Scale) -> list[TableCell]:
    printed = printed_cells(CSV, lambda row: Craft(cia(4), hybrid(["IncV3_a"])))
    return present(printed + (beyond() if thorough(scale) else []), scale)


def beyond() -> list[TableCell]:
    """Twice the weight on the filtered network."""
    heavier = Craft(cia(4), hybrid(["IncV3_a"], b=2))
    unfiltered = both_rates(heavier, on("IncV3_a"), "Δ=4, b = 2a, no filter, IncV3_a")
    return unfiltered + both_rates(heavier, on("IncV3_a", (FILTER,)), "Δ=4, b = 2a, filter deployed, IncV3_a")


@register("cia-6")
def table6() -> Experiment:
    """The hybrid loss on one network."""
    return Experiment(
        "cia-6",
        "Table 6: a hybrid loss on IncV3_a",
        SOURCE,
        cells,
        single(small=22, paper=800, cifar=0.8),
        CSV,
        ambiguous=(
            Ambiguity(
                "whether the four other networks are filtered in the filter rows is not stated (they are here)",
                {"defence": "filter", "network": "^(?!IncV3_a$)"},
            ),
        ),
    )
