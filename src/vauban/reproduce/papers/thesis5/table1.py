"""Table 5.1: BP on ImageNet rounded at the end, at each iteration, or anticipated by its own Q_IN and Q_OUT."""

from __future__ import annotations

from collections.abc import Mapping

from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.papers.thesis5.attacks import IMAGENET, DataSetting, Runs, bp
from vauban.reproduce.papers.thesis5.networks import CLEAN_SCALES
from vauban.reproduce.papers.thesis5.setting import BUDGETS, Row, beyond, measured, printed_cells, register_experiment
from vauban.reproduce.printed import rows_of

CSV = "thesis-table5.1.csv"
EACH_SHOWN = "round at the end, each iterate shown rounded"
STRATEGIES: Mapping[str, tuple[int | None, Mapping[str, object]]] = {
    "round at the end": (None, {}),
    EACH_SHOWN: (256, {"state": "free"}),
    "round at each iteration": (256, {"search": False}),
    "Q_IN/Q_OUT": (256, {}),
}
"""The grid of the queries, and how BP steps on it where that is not Q_IN and Q_OUT.

"Round at the end" has two readings: the last image of an attack without a grid is rounded, or the state is never rounded
while every image that the network is shown is, and the nearest success among these is kept. The printed success of 1.00
fits the second alone; both are cells, with the same printed value.
"""


def strategy(name: str, n: int, scale: Scale, retreat: bool = False) -> Runs:
    """BP with n gradients under one of STRATEGIES."""
    grid, options = STRATEGIES[name]
    attack = bp(n, scale, retreat=retreat, **options)
    return (Craft(attack, (WeightedNetwork("network"),), targeted=False, grid=grid, keep="best"),)


def cells(data: DataSetting, scale: Scale) -> list[TableCell]:
    def craft(row: Row) -> Runs:
        return strategy(row["quantization"], int(row["iterations"]), scale)

    def label(row: Row) -> str:
        return f"{row['quantization']}, {row['iterations']} gradients"

    def second(row: Row) -> Runs:
        return strategy(EACH_SHOWN, int(row["iterations"]), scale)

    cells = printed_cells(CSV, data, craft, label, lambda row: "network")
    for row in rows_of(CSV):
        if row["quantization"] == "round at the end":
            text = f"{EACH_SHOWN}, {row['iterations']} gradients"
            cells.append(measured(second(row), Judge(("network",)), row["metric"], text, data, row))
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
