"""From a printed row to its runs and cells: what is rounded when, what is saved, who judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.papers.thesis5.setting import OURS, RIVALS, DataSetting, attacks
from vauban.reproduce.printed import rows_of

IN_A_BALL = ("FGSM", "I-FGSM", "PGD2")
ROUNDED_LATER = (*IN_A_BALL, "C&W")
BUDGETS = (20, 100)
BEYOND = ("P_suc", "D_avg_L2", "P_upp", "D_median_L2")
Row = Mapping[str, str]
Runs = tuple[Craft, ...]


def runs(
    name: str, iterations: str, here: DataSetting, scale: Scale, role: str = "network", quantised: bool = True
) -> Runs:
    """The crafts of an attack against a role. quantised: saved on 8 bits; DDN, BP and the attacks beyond the paper's then
    round every query, the others only the image they hand over. Attacks in a ball hand over their last iterate."""
    grid = 256 if quantised and name not in ROUNDED_LATER else None
    return tuple(
        Craft(
            attack,
            (WeightedNetwork(role),),
            targeted=False,
            grid=grid,
            keep="last" if name in IN_A_BALL else "best",
            saved="png" if quantised else "float",
        )
        for attack in attacks(name, iterations, here, scale)
    )


def measured(
    found: Runs, judge: Judge, metric: str, label: str, here: DataSetting, key: Row | None = None
) -> TableCell:
    """A cell over all runs of an attack."""
    at = here.d_upp if metric == "P_upp" else None
    return TableCell(found[0], judge, metric, key or {}, f"{label}: {metric}", found[1:], at)


def beyond(
    found: Runs, judge: Judge, label: str, here: DataSetting, metrics: Sequence[str] = BEYOND
) -> list[TableCell]:
    """Cells without a printed row."""
    return [measured(found, judge, metric, label, here) for metric in metrics]


def printed_cells(
    csv: str, here: DataSetting, craft: Callable[[Row], Runs], label: Callable[[Row], str], role: Callable[[Row], str]
) -> list[TableCell]:
    """A cell for every printed row of a table and, once for every attack, the median with failures as infinite."""
    rows = rows_of(csv)
    cells = [measured(craft(row), Judge((role(row),)), row["metric"], label(row), here, row) for row in rows]
    for row in rows:
        if row["metric"] == "P_suc":
            cells += beyond(craft(row), Judge((role(row),)), label(row), here, ["D_median_L2"])
    return cells


def benchmark(
    csv: str, here: DataSetting, scale: Scale, role: str = "network", quantised: bool = True
) -> list[TableCell]:
    """The cells of Tables 5.2 to 5.4: the printed rows, the attacks beyond them, and the nearest of all per image."""
    judge = Judge((role,))

    def crafted(name: str, iterations: str) -> Runs:
        return runs(name, iterations, here, scale, role, quantised)

    def label(row: Row) -> str:
        return f"{row['attack']}, {row['iterations']} gradients"

    cells = printed_cells(csv, here, lambda row: crafted(row["attack"], row["iterations"]), label, lambda row: role)
    everything = tuple(dict.fromkeys(c for cell in cells if cell.craft for c in (cell.craft, *cell.also)))
    for name in (*RIVALS, *dict(OURS)):
        for n in BUDGETS:
            found = crafted(name, str(n))
            cells += beyond(found, judge, f"{name}, {n} gradients", here)
            everything += found
    return cells + beyond(everything, judge, "the nearest of all attacks per image", here)
