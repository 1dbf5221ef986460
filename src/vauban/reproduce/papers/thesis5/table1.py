"""Table 5.1: rounding at the end, at each iteration, or anticipated by BP's own Q_IN and Q_OUT."""

from __future__ import annotations

from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.papers.thesis5.cells import BUDGETS, Row, Runs, beyond, printed_cells
from vauban.reproduce.papers.thesis5.declare import each
from vauban.reproduce.papers.thesis5.setting import IMAGENET, DataSetting, bp

CSV = "thesis-table5.1"
STRATEGIES = {
    "round at the end": (None, "search"),
    "round at each iteration": (256, "each"),
    "Q_IN/Q_OUT": (256, "search"),
}
"""The grid of the queries, and how BP steps on it."""


def strategy(name: str, n: int, scale: Scale, retreat: bool = False) -> Runs:
    grid, quantisation = STRATEGIES[name]
    attack = bp(n, scale, quantisation=quantisation, retreat=retreat)
    return (Craft(attack, (WeightedNetwork("network"),), targeted=False, grid=grid, keep="best"),)


def cells(here: DataSetting, scale: Scale) -> list[TableCell]:
    def craft(row: Row) -> Runs:
        return strategy(row["quantization"], int(row["iterations"]), scale)

    def label(row: Row) -> str:
        return f"{row['quantization']}, {row['iterations']} gradients"

    found = printed_cells(f"{CSV}.csv", here, craft, label, lambda row: "network")
    for name in STRATEGIES:
        for n in BUDGETS:
            attack = strategy(name, n, scale, retreat=True)
            found += beyond(attack, Judge(("network",)), f"OUT with retreat, {name}, {n} gradients", here)
    return found


each("5.1", "Table 5.1: BP under three strategies of quantisation", cells, csv=CSV, over=(IMAGENET,))
