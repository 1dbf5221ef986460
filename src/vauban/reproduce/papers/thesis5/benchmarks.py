"""Tables 5.2 to 5.4: all attacks with quantisation, without, and on robust networks; Figures 5.4 to 5.6: their P(D)."""

from __future__ import annotations

from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.figures import OperatingCurves, Panel
from vauban.reproduce.papers.thesis5.cells import BUDGETS, Runs, benchmark, beyond, runs
from vauban.reproduce.papers.thesis5.declare import each
from vauban.reproduce.papers.thesis5.setting import OURS, RIVALS, DataSetting

PAPER = {"I-FGSM": "{}", "PGD2": "{}", "C&W": "5x20", "DDN": "{}", "BP": "{}"}
TABLES = (
    ("5.2", "5.4", "with quantisation", "network", True),
    ("5.3", "5.5", "without quantisation", "network", False),
    ("5.4", "5.6", "robust networks", "robust", True),
)


def curves(here: DataSetting, scale: Scale, n: int, role: str, quantised: bool) -> dict[str, Runs]:
    """The attacks of the figures at n gradients, C&W at 100 as there, and those beyond them."""
    found = {name: how.format(n) for name, how in PAPER.items() if n == 100 or name != "C&W"}
    found |= dict.fromkeys((*RIVALS, *dict(OURS)), str(n))
    return {name: runs(name, n_or_form, here, scale, role, quantised) for name, n_or_form in found.items()}


def _declare(table: str, figure: str, shown: str, role: str, quantised: bool) -> None:
    csv, judge = f"thesis-table{table}", Judge((role,))

    def rows(here: DataSetting, scale: Scale) -> list[TableCell]:
        return benchmark(f"{csv}-{here.name}.csv", here, scale, role, quantised)

    def medians(here: DataSetting, scale: Scale) -> list[TableCell]:
        found: list[TableCell] = []
        for n in BUDGETS:
            for name, crafts in curves(here, scale, n, role, quantised).items():
                found += beyond(crafts, judge, f"{name}, {n} gradients", here, ["P_upp", "D_median_L2"])
        return found

    def panels(here: DataSetting, scale: Scale) -> list[Panel]:
        upto = here.d_upp * (3 if role == "robust" else 2)
        return [
            OperatingCurves(f"P(D), {n} gradients", curves(here, scale, n, role, quantised), judge, upto)
            for n in reversed(BUDGETS)
        ]

    robust = role == "robust"
    each(table, f"Table {table}: attacks, {shown}", rows, csv=csv, robust=robust)
    each(f"fig{figure}", f"Figure {figure}: operating characteristics, {shown}", medians, panels, robust=robust)


for _table in TABLES:
    _declare(*_table)
