"""Table 4: CIA through the mean filter in front of IncV3_a, judged where the filter is deployed."""

from __future__ import annotations

from vauban.defences.inputs.diagonal_filter import DiagonalFilter
from vauban.defences.inputs.gaussian_filter import GaussianFilter
from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.papers.cia.setting import (
    FILTER,
    SOURCE,
    both_rates,
    cia,
    on,
    present,
    printed_cells,
    single,
    thorough,
    through,
)
from vauban.reproduce.registry import register

CSV = "cia-table4.csv"
OTHER_FILTERS = (GaussianFilter(border="edge"), DiagonalFilter(border="edge"))


def cells(scale: Scale) -> list[TableCell]:
    printed = printed_cells(CSV, lambda row: Craft(cia(4), through(["IncV3_a"], FILTER)))
    return present(printed + (beyond() if thorough(scale) else []), scale)


def beyond() -> list[TableCell]:
    """Two other filters, attacked and deployed, and an attacker who does not know of the mean filter."""
    cells = []
    for smoothing in OTHER_FILTERS:
        craft = Craft(cia(4), through(["IncV3_a"], smoothing))
        label = f"Δ=4, {smoothing.registered} attacked and deployed, IncV3_a"
        cells += both_rates(craft, on("IncV3_a", (smoothing,)), label)
    unaware = Craft(cia(4), through(["IncV3_a"]))
    label = "Δ=4, mean filter deployed and not attacked, IncV3_a"
    return cells + both_rates(unaware, on("IncV3_a", (FILTER,)), label)


@register("cia-4")
def table4() -> Experiment:
    """CIA through a filter that is deployed."""
    return Experiment(
        "cia-4",
        "Table 4: attacking a spatial smoothing defence",
        SOURCE,
        cells,
        single(small=11, paper=800, cifar=0.6),
        CSV,
        ambiguous=(
            Ambiguity("the border of the filter is not stated (edge pixels repeated here)"),
            Ambiguity(
                "whether the four other networks are filtered is not stated (they are here: their printed errors rise)",
                {"network": "^(?!IncV3_a$)"},
            ),
        ),
    )
