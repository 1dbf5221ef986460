"""Table 5.5: networks trained against FGSM, DDN or BP, whose images are forged anew after each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.ddn import DDN
from vauban.core.norms import Linf
from vauban.engine import Attack
from vauban.experiments.printed import rows_of
from vauban.experiments.spec import Cell, Craft, Judge, Recipe, Scale, Through
from vauban.experiments.thesis5.cells import BUDGETS, Row, Runs, beyond, printed_cells, runs
from vauban.experiments.thesis5.declare import OPEN, each
from vauban.experiments.thesis5.networks import C4, CLEAN, CLEAN_SCALES, NINE
from vauban.experiments.thesis5.setting import CIFAR10, MNIST, OURS, Images, steps

CSV = "thesis-table5.5"
REFERENCE: Mapping[str, Attack] = {
    "FGSM": FGSM(Linf(0.3)), "DDN": DDN(steps=20), "BP": BP(steps=20, retreat=False)
}  # fmt: skip
FINE_TUNED = ("DDN", "BP")
BOUND = {"mnist": 0.3, "cifar10": 8 / 255}
"""The radius at which the networks are also attacked in L-infinity, which the paper does not do."""


def trained(scratch: Recipe, tuned: Recipe, minutes: Mapping[str, float], start: str = "baseline") -> dict[str, Recipe]:
    """A network for each reference attack: against FGSM as `scratch`, the others as `tuned` from the clean network."""
    found = {}
    for name, attack in REFERENCE.items():
        fine = name in FINE_TUNED
        found[name] = replace(
            tuned if fine else scratch, adversarial=attack, regenerate="epoch", start=start if fine else None,
            minutes=minutes[name],
        )  # fmt: skip
    return found


def _scales() -> dict[str, dict[str, Scale]]:
    third, momentum = "mnist/train[::3]", {"optimiser": "sgd", "lr": 1e-3}
    small = Recipe("mnist-c4", third, 10)
    mnist = {"baseline": C4} | trained(replace(C4, epochs=10), small, {"FGSM": 11, "DDN": 26, "BP": 26})
    printed = {"baseline": C4} | trained(
        replace(C4, batch=50, epochs=100), replace(small, data=C4.data, epochs=30), {"FGSM": 110, "DDN": 240, "BP": 240}
    )
    branched = Recipe("small-branched", "cifar10/train[::3]", 10, optimiser="sgd", lr=1e-2)
    few = trained(Recipe("small-branched", "cifar10/train", 8, lr=3e-3), branched, {"FGSM": 9, "DDN": 25, "BP": 25})
    nine = {"baseline": NINE} | trained(
        NINE, replace(NINE, epochs=30, **momentum), {"FGSM": 15000, "DDN": 17000, "BP": 17000}  # type: ignore[arg-type]
    )  # fmt: skip
    on_mnist, on_cifar = CLEAN_SCALES["mnist"], CLEAN_SCALES["cifar10"]
    forged = "10 epochs on a third of the training images against DDN and BP in place of 30 on all; "
    return {
        "mnist": {
            "small": replace(
                on_mnist["small"], recipes=mnist, setting="stand-in",
                note="C4: 10 epochs against FGSM; " + forged + on_mnist["small"].note,
            ),
            "paper": replace(on_mnist["paper"], recipes=printed),
        },
        "cifar10": {
            "small": replace(
                on_cifar["small"], models={"baseline": CLEAN}, recipes=few,
                note=on_cifar["small"].note + "; 8 epochs against FGSM; " + forged[:-2],
            ),
            "paper": replace(on_cifar["paper"], recipes=nine),
        },
    }  # fmt: skip


def defences(here: Images) -> list[str]:
    return list(dict.fromkeys(row["defence_reference_attack"] for row in rows_of(f"{CSV}-{here.name}.csv")))


def role(row: Row, scale: Scale) -> str:
    """The network of a printed row; at scale smoke one of the two that are there."""
    name = row["defence_reference_attack"]
    if name in scale.models or name in scale.recipes:
        return name
    return "network" if name == "baseline" else "robust"


def cells(here: Images, scale: Scale) -> list[Cell]:
    def craft(row: Row) -> Runs:
        return runs(row["attack"], row["iterations"], here, scale, role(row, scale))

    def label(row: Row) -> str:
        return f"trained against {row['defence_reference_attack']}: {row['attack']}, {row['iterations']} gradients"

    csv = f"{CSV}-{here.name}.csv"
    found = printed_cells(csv, here, craft, label, lambda row: role(row, scale))
    for name in defences(here):
        network = role({"defence_reference_attack": name}, scale)
        own: Runs = tuple(
            c for row in rows_of(csv) if row["defence_reference_attack"] == name and row["metric"] == "P_suc"
            for c in craft(row)
        )  # fmt: skip
        found += worst_case(name, network, own, here, scale)
    return found


def worst_case(name: str, network: str, own: Runs, here: Images, scale: Scale) -> list[Cell]:
    """Beyond the paper: clean accuracy, further attacks, the nearest of all per image, and a bound in L-infinity."""
    judge, title = Judge((network,)), f"trained against {name}"
    found = [Cell(None, judge, "accuracy", {}, f"{title}: accuracy")]
    for rival in ("FMN", *dict(OURS)):
        for n in BUDGETS:
            further = runs(rival, str(n), here, scale, network)
            found += beyond(further, judge, f"{title}: {rival}, {n} gradients", here)
            own += further
    found += beyond(own, judge, f"{title}: the nearest of all attacks per image", here)
    bounded = APGD(Linf(BOUND[here.name]), steps=steps(100, scale))
    craft = Craft(bounded, (Through(network),), targeted=False, keep="best")
    shown = f"{title}: misclassified under APGD, L-infinity {BOUND[here.name]:.3g}"
    return [*found, Cell(craft, judge, "misclassification_rate", {}, shown)]


each(
    "5.5", "Table 5.5: adversarial training against fast attacks", cells, csv=CSV, over=(MNIST, CIFAR10),
    scales=_scales(),
    ambiguous=OPEN + ". The caption names I-FGSM as reference attack, rows and text FGSM, which is used",
)  # fmt: skip
