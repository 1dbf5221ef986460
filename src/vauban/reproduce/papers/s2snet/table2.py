"""Table 2: raw numbers of FGSM under the gradients of the system that answers; so Tables 3 (BIM) and 4 (C&W)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.s2snet.attacks import craft, printed_bim
from vauban.reproduce.papers.s2snet.networks import BARE, TUNED, base_of
from vauban.reproduce.papers.s2snet.setting import WHITEBOX, cells_of, experiment, measured_cells
from vauban.reproduce.printed import rows_of
from vauban.reproduce.registry import register

TABLES = {2: "FGSM", 3: "BIM", 4: "CW"}
CSV = "s2snet-table3.csv"
LONG, LONG_EPS = "BIM, 100 steps", (2.0, 8.0)


def longer(scale: Scale) -> list[TableCell]:
    """BIM with ten times the steps, beyond the paper's lost number."""
    strengths = LONG_EPS[-1:] if base_of(scale).few else LONG_EPS
    return [
        cell
        for on in (BARE, TUNED)
        for cell in measured_cells(LONG, {s: craft(LONG, s, scale, on) for s in strengths}, on, on)
    ]


def cells_with(attack: str) -> Callable[[Scale], Sequence[TableCell]]:
    """The cells of a table; those of BIM with the number of Appendix A."""

    def cells(scale: Scale) -> list[TableCell]:
        told = cells_of(WHITEBOX, scale, (attack,))
        if attack != "BIM":
            return told
        printed = [
            TableCell(printed_bim(scale, TUNED), Judge((TUNED,)), row["metric"], row, "BIM, eps 0.05 in [0,1]")
            for row in rows_of(CSV)
        ]
        return [*printed, *told, *longer(scale)]

    return cells


def register_table(number: int, attack: str) -> None:
    """Register the table of one attack."""

    def table() -> Experiment:
        return experiment(
            f"table{number}",
            f"Table {number}: WhiteBox, {attack}",
            cells_with(attack),
            printed=CSV if attack == "BIM" else None,
            minutes=12,
            notes=("The printed rows are lost: all numbers are ours, but one of Appendix A in Table 3.",),
        )

    table.__doc__ = f"Raw numbers of {attack}, WhiteBox."
    register(f"s2snet-table{number}")(table)


for one, name in TABLES.items():
    register_table(one, name)
