"""Table 5.5: networks trained against FGSM, DDN or BP, whose images are forged anew after each epoch."""

from __future__ import annotations

from vauban.attacks.fixed_budget.apgd import APGD
from vauban.core.norms import Linf
from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.papers.thesis5.cells import BUDGETS, Row, Runs, beyond, printed_cells, runs
from vauban.reproduce.papers.thesis5.declare import OPEN, each
from vauban.reproduce.papers.thesis5.setting import CIFAR10, MNIST, OURS, DataSetting, steps
from vauban.reproduce.papers.thesis5.trained import cifar10, mnist
from vauban.reproduce.printed import rows_of

CSV = "thesis-table5.5"
BOUND = {"mnist": 0.3, "cifar10": 8 / 255}
"""The radius at which the networks are also attacked in L-infinity, which the paper does not do."""


def defences(here: DataSetting) -> list[str]:
    return list(dict.fromkeys(role(row) for row in rows_of(f"{CSV}-{here.name}.csv")))


def role(row: Row) -> str:
    """The network of a printed row."""
    return row["defence_reference_attack"]


def cells(here: DataSetting, scale: Scale) -> list[TableCell]:
    def craft(row: Row) -> Runs:
        return runs(row["attack"], row["iterations"], here, scale, role(row))

    def label(row: Row) -> str:
        return f"trained against {role(row)}: {row['attack']}, {row['iterations']} gradients"

    csv = f"{CSV}-{here.name}.csv"
    found = printed_cells(csv, here, craft, label, role)
    for name in defences(here):
        own: Runs = tuple(
            c for row in rows_of(csv) if role(row) == name and row["metric"] == "P_suc" for c in craft(row)
        )
        found += worst_case(name, own, here, scale)
    return found


def worst_case(name: str, own: Runs, here: DataSetting, scale: Scale) -> list[TableCell]:
    """Beyond the paper: clean accuracy, further attacks, the nearest of all per image, and a bound in L-infinity."""
    judge, title = Judge((name,)), f"trained against {name}"
    found = [TableCell(None, judge, "accuracy", {}, f"{title}: accuracy")]
    for rival in ("FMN", *dict(OURS)):
        for n in BUDGETS:
            further = runs(rival, str(n), here, scale, name)
            found += beyond(further, judge, f"{title}: {rival}, {n} gradients", here)
            own += further
    found += beyond(own, judge, f"{title}: the nearest of all attacks per image", here)
    bounded = APGD(Linf(BOUND[here.name]), steps=steps(100, scale))
    craft = Craft(bounded, (WeightedNetwork(name),), targeted=False, keep="best")
    shown = f"{title}: misclassified under APGD, L-infinity {BOUND[here.name]:.3g}"
    return [*found, TableCell(craft, judge, "misclassification_rate", {}, shown)]


each(
    "5.5",
    "Table 5.5: adversarial training against fast attacks",
    cells,
    csv=CSV,
    over=(MNIST, CIFAR10),
    scales={"mnist": mnist(), "cifar10": cifar10()},
    ambiguous=OPEN + ". The caption names I-FGSM as reference attack, rows and text FGSM, which is used",
)
