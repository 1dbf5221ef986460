"""Tables 4 and 5: CIA through the mean filter in front of IncV3_a, judged with the filter deployed and without."""

from __future__ import annotations

from vauban.defences.inputs.diagonal_filter import DiagonalFilter
from vauban.defences.inputs.gaussian_filter import GaussianFilter
from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.cia.setting import (
    FILTER,
    SOURCE,
    Row,
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

FILTERED = Craft(cia(4), through(["IncV3_a"], FILTER))


def with_filter(scale: Scale) -> list[TableCell]:
    found = printed_cells("cia-table4.csv", lambda row: FILTERED)
    for other in (GaussianFilter(border="edge"), DiagonalFilter(border="edge")) if thorough(scale) else ():
        craft = Craft(cia(4), through(["IncV3_a"], other))
        found += both_rates(craft, on("IncV3_a", (other,)), f"Δ=4, {other.registered} attacked and deployed, IncV3_a")
    if thorough(scale):
        unaware = Craft(cia(4), through(["IncV3_a"]))
        found += both_rates(unaware, on("IncV3_a", (FILTER,)), "Δ=4, mean filter deployed and not attacked, IncV3_a")
    return present(found, scale)


def without(row: Row) -> tuple[()]:
    return ()


@register("cia-4")
def table4() -> Experiment:
    """CIA through a filter that is deployed."""
    return Experiment(
        "cia-4",
        "Table 4: attacking a spatial smoothing defence",
        SOURCE,
        with_filter,
        single(small=11, paper=800, cifar=0.6),
        "cia-table4.csv",
        ambiguous="the border of the filter is not stated (edge pixels repeated here), nor whether the four other networks "
        "are filtered (they are here: their printed errors rise)",
    )


@register("cia-5")
def table5() -> Experiment:
    """The same images where no filter is deployed."""
    return Experiment(
        "cia-5",
        "Table 5: the same attack where the defence does not filter",
        SOURCE,
        lambda scale: present(printed_cells("cia-table5.csv", lambda row: FILTERED, without), scale),
        single(small=1, paper=200, cifar=0.3),
        "cia-table5.csv",
    )
