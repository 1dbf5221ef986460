"""Table 5.1: BP on ImageNet rounded at the end, at each iteration, or anticipated by its own Q_IN and Q_OUT."""

from __future__ import annotations

from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.papers.thesis5.attacks import IMAGENET, DataSetting, Runs, bp
from vauban.reproduce.papers.thesis5.networks import CLEAN_SCALES
from vauban.reproduce.papers.thesis5.setting import BUDGETS, Row, beyond, printed_cells, register_experiment

CSV = "thesis-table5.1.csv"
STRATEGIES = {
    "round at the end": (None, "search"),
    "round at each iteration": (256, "each"),
    "Q_IN/Q_OUT": (256, "search"),
}
"""The grid of the queries, and how BP steps on it."""


def strategy(name: str, n: int, scale: Scale, retreat: bool = False) -> Runs:
    """BP with n gradients under one of STRATEGIES."""
    grid, quantisation = STRATEGIES[name]
    attack = bp(n, scale, quantisation=quantisation, retreat=retreat)
    return (Craft(attack, (WeightedNetwork("network"),), targeted=False, grid=grid, keep="best"),)


def cells(data: DataSetting, scale: Scale) -> list[TableCell]:
    def craft(row: Row) -> Runs:
        return strategy(row["quantization"], int(row["iterations"]), scale)

    def label(row: Row) -> str:
        return f"{row['quantization']}, {row['iterations']} gradients"

    cells = printed_cells(CSV, data, craft, label, lambda row: "network")
    for name in STRATEGIES:
        for n in BUDGETS:
            runs = strategy(name, n, scale, retreat=True)
            cells += beyond(runs, Judge(("network",)), f"OUT with retreat, {name}, {n} gradients", data)
    return cells


register_experiment(
    "thesis-5.1",
    "Table 5.1: BP under three strategies of quantisation, ImageNet",
    IMAGENET,
    cells,
    None,
    CLEAN_SCALES["imagenet"],
    CSV,
)
