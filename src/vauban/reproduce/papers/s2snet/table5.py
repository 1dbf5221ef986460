"""Table 5: raw numbers of FGSM from one system to another, WhiteBox+ and GrayBox-; so Tables 6 (BIM) and 7 (C&W)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.s2snet.attacks import printed_bim
from vauban.reproduce.papers.s2snet.networks import BARE, TUNED
from vauban.reproduce.papers.s2snet.setting import cells_of, experiment
from vauban.reproduce.printed import rows_of
from vauban.reproduce.registry import register

TABLES = {5: "FGSM", 6: "BIM", 7: "CW"}
CSV = "s2snet-table6.csv"
PAIRS = ((BARE, TUNED), (TUNED, BARE))
SCENARIOS = {"none": (None, BARE), "baseline": (BARE, BARE), "WhiteBox+": (BARE, TUNED), "GrayBox-": (TUNED, BARE)}
"""Whose gradients, and who answers, by their names in the printed rows."""


def printed_label(scenario: str, metric: str) -> str:
    return f"{scenario}, BIM eps 0.05 in [0,1]: {metric}"


def printed_cell(row: dict[str, str], scale: Scale) -> TableCell:
    """The cell beside a number of Appendix A."""
    on, judge = SCENARIOS[row["scenario"]]
    made = None if on is None else printed_bim(scale, on)
    return TableCell(made, Judge((judge,)), row["metric"], row, printed_label(row["scenario"], row["metric"]))


def cells_with(attack: str) -> Callable[[Scale], Sequence[TableCell]]:
    """The cells of a table; those of BIM with the numbers of Appendix A."""

    def cells(scale: Scale) -> list[TableCell]:
        printed = [printed_cell(row, scale) for row in rows_of(CSV)] if attack == "BIM" else []
        return [*printed, *cells_of(PAIRS, scale, (attack,))]

    return cells


CLAIMS = (
    Claim(
        "Images made for the bare network are in the set that fools the defended one: below chance is left of both",
        "Appendix A",
        (Larger(0.1, printed_label("baseline", "accuracy")), Larger(0.1, printed_label("WhiteBox+", "accuracy"))),
        "chance is 0.1 with ten classes, 0.001 on ImageNet",
    ),
    Claim(
        "Images made behind the S2SNet do not fool the bare network: more than 0.8 of its accuracy is left",
        "Appendix A",
        (Larger(printed_label("GrayBox-", "relative_accuracy"), 0.8),),
    ),
)


def register_table(number: int, attack: str) -> None:
    """Register the table of one attack."""

    def table() -> Experiment:
        return experiment(
            f"table{number}",
            f"Table {number}: from one system to another, {attack}",
            cells_with(attack),
            printed=CSV if attack == "BIM" else None,
            claims=CLAIMS if attack == "BIM" else (),
            minutes=10,
            notes=("The rows of the printed table are lost; what Appendix A repeats of them stands beside ours.",),
        )

    table.__doc__ = f"Raw numbers of {attack} from one system to another."
    register(f"s2snet-table{number}")(table)


for one, name in TABLES.items():
    register_table(one, name)
