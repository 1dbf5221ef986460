"""Table 5.5: networks trained against FGSM, DDN or BP, whose images are forged anew after each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.ddn import DDN
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.engine import Attack
from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.experiment import Ambiguity
from vauban.reproduce.papers.printed_variants import PRINTED_BP, PRINTED_DDN
from vauban.reproduce.papers.stand_ins import BRANCHED, C4, PLAIN
from vauban.reproduce.papers.thesis5.attacks import CIFAR10, MNIST, DataSetting, Runs, crafts, steps
from vauban.reproduce.papers.thesis5.networks import CLEAN_SCALES, NINE, SMOKE
from vauban.reproduce.papers.thesis5.setting import (
    AMBIGUOUS,
    BUDGETS,
    Row,
    beyond,
    printed_cells,
    register_per_data_set,
)
from vauban.reproduce.printed import rows_of
from vauban.training.augmentation.epoch_adversarial import EpochAdversarial
from vauban.training.run import TrainingRun

CSV = "thesis-table5.5"
BOUND = {"mnist": 0.3, "cifar10": 8 / 255}
"""The radius at which the networks are also attacked in L-infinity, which the paper does not do."""
REFERENCE: Mapping[str, Attack] = {
    "FGSM": FGSM(Linf(0.3)),
    "DDN": DDN(steps=20, **PRINTED_DDN),
    "BP": BP(steps=20, retreat=False, **PRINTED_BP),
}
"""The attacks trained against; a network has the name of its attack."""
FORGED = "3 epochs on a twelfth of the training images against DDN and BP in place of 30 on all"


def defence(row: Row) -> str:
    """The network of a printed row."""
    return row["defence_reference_attack"]


def cells(data: DataSetting, scale: Scale) -> list[TableCell]:
    csv = f"{CSV}-{data.name}.csv"

    def craft(row: Row) -> Runs:
        return crafts(row["attack"], row["iterations"], data, scale, defence(row))

    def label(row: Row) -> str:
        return f"trained against {defence(row)}: {row['attack']}, {row['iterations']} gradients"

    cells = printed_cells(csv, data, craft, label, defence)
    rows = [row for row in rows_of(csv) if row["metric"] == "P_suc"]
    for name in dict.fromkeys(map(defence, rows)):
        printed_runs = tuple(run for row in rows if defence(row) == name for run in craft(row))
        cells += beyond_paper(name, printed_runs, data, scale)
    return cells


def beyond_paper(name: str, printed_runs: Runs, data: DataSetting, scale: Scale) -> list[TableCell]:
    """Clean accuracy, further attacks, the nearest of all per image, and a bound in L-infinity.

    Args:
        name: the network.
        printed_runs: those of the paper's attacks against it.
        data: the data set.
        scale: how much is run.
    """
    judge, title, every_run = Judge((name,)), f"trained against {name}", printed_runs
    cells = [TableCell(None, judge, "accuracy", {}, f"{title}: accuracy")]
    for attack in ("FMN", "Sapper"):
        for n in BUDGETS:
            runs = crafts(attack, str(n), data, scale, name)
            cells += beyond(runs, judge, f"{title}: {attack}, {n} gradients", data)
            every_run += runs
    cells += beyond(every_run, judge, f"{title}: the nearest of all attacks per image", data)
    bounded = APGD(Linf(BOUND[data.name]), steps(100, scale), cross_entropy)
    craft = Craft(bounded, (WeightedNetwork(name),), targeted=False, keep="best")
    label = f"{title}: misclassified under APGD, L-infinity {BOUND[data.name]:.3g}"
    return [*cells, TableCell(craft, judge, "misclassification_rate", {}, label)]


def trained(scratch: TrainingRun, tuned: TrainingRun, minutes: tuple[float, float, float]) -> dict[str, TrainingRun]:
    """A network for each attack of REFERENCE, its images forged anew after each epoch.

    Args:
        scratch: the training against FGSM, from scratch.
        tuned: the training against DDN and BP, from the clean network in the role "baseline".
        minutes: of each of the three.
    """
    return {
        name: _against(attack, scratch if name == "FGSM" else replace(tuned, start="baseline"), spent)
        for (name, attack), spent in zip(REFERENCE.items(), minutes, strict=True)
    }


def _against(attack: Attack, run: TrainingRun, minutes: float) -> TrainingRun:
    """A run that trains on images of the attack too, from its first epoch where its network is trained already."""
    return replace(run, recipe=EpochAdversarial(attack, first=run.start is not None), minutes=minutes)


def smoke() -> Scale:
    """Every training of the table in one epoch of a few made-up images, at too slow a rate to change a label."""
    few = TrainingRun("small-plain", "colours/train:n=24", 1, lr=1e-6, optimiser="sgd", start="baseline", holdout=0)
    return replace(SMOKE, models={"baseline": PLAIN}, recipes=trained(few, few, (0.1, 0.1, 0.1)))


def mnist() -> dict[str, Scale]:
    scales = CLEAN_SCALES["mnist"]
    few = trained(replace(C4, epochs=3), replace(C4, data="mnist/train[::12]", epochs=3), (4, 3, 3))
    printed = trained(replace(C4, batch=50, epochs=100), replace(C4, epochs=30), (110, 240, 240))
    note = f"C4, 3 epochs against FGSM; {FORGED}; every tenth test image; 8 eps for PGD2"
    return {
        "smoke": smoke(),
        "small": replace(scales["small"], recipes={"baseline": C4} | few, setting="stand-in", note=note),
        "paper": replace(scales["paper"], recipes={"baseline": C4} | printed),
    }


def cifar10() -> dict[str, Scale]:
    scales = CLEAN_SCALES["cifar10"]
    whole = TrainingRun("small-branched", "cifar10/train", 8, lr=3e-3, schedule="cosine", holdout=0)
    part = replace(whole, data="cifar10/train[::12]", epochs=3, optimiser="sgd", lr=1e-2)
    few = trained(whole, part, (9, 3, 3))
    printed = trained(NINE, replace(NINE, epochs=30, optimiser="sgd"), (15000, 17000, 17000))
    note = (
        "small-branched (0.2 million parameters, 8 epochs) on 500 CIFAR-10 test images in place of the 9-convolution "
        f"network; 8 epochs against FGSM; {FORGED}, momentum at a rate of 0.01; 8 eps for PGD2"
    )
    return {
        "smoke": smoke(),
        "small": replace(scales["small"], models={"baseline": BRANCHED}, recipes=few, note=note),
        "paper": replace(scales["paper"], recipes={"baseline": NINE} | printed),
    }


register_per_data_set(
    "5.5",
    "Table 5.5: adversarial training against fast attacks",
    cells,
    csv=CSV,
    data_sets=(MNIST, CIFAR10),
    scales={"mnist": mnist(), "cifar10": cifar10()},
    ambiguous=(
        *AMBIGUOUS,
        Ambiguity(
            "the caption names I-FGSM as reference attack, rows and text FGSM, which is used",
            {"defence_reference_attack": "^FGSM"},
        ),
    ),
)
