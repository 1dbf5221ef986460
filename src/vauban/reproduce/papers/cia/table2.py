"""Table 2: CIA on IncV3_b alone, and whether it transfers; beyond it, attacks that are made to transfer."""

from __future__ import annotations

from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.fixed_budget.mi_fgsm import MIFGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.engine import Attack
from vauban.reproduce.declarations import Craft, Path, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.cia.setting import NETWORKS, SOURCE, both_rates, cia, five, on, printed_cells, through
from vauban.reproduce.registry import register
from vauban.threats import Diverse, Translated

CSV = "cia-table2.csv"
BALL = Linf(16 / 255)


def cells(scale: Scale) -> list[TableCell]:
    return [
        *printed_cells(CSV, lambda row: Craft(cia(float(row["delta_255"])), through(["IncV3_b"]))),
        *matrix(),
        *contest(),
    ]


def matrix() -> list[TableCell]:
    """'Verified when attacking any other classifier alone': every network as the source, Delta = 16."""
    found = []
    for source in NETWORKS:
        if source != "IncV3_b":
            craft = Craft(cia(16), through([source]))
            for judged in NETWORKS:
                found += both_rates(craft, on(judged), f"CIA on {source}, Δ=16, judged by {judged}")
    return found


def contest() -> list[TableCell]:
    """Other attacks at 20 gradients and Delta = 16, and objectives made for transfer, from IncV3_a, targeted and not."""
    diverse, smooth = (Diverse(),), (Translated(size=3, sigma=1.0),)
    rivals: list[tuple[str, Attack, tuple[Path, ...]]] = [
        ("CIA", cia(16), ()),
        ("CIA, input diversity", cia(16), diverse),
        ("CIA, translation invariance", cia(16), smooth),
        ("CIA, both", cia(16), smooth + diverse),
        ("MI-FGSM", MIFGSM(BALL, steps=20, loss=cross_entropy), ()),
        ("MI-FGSM, both", MIFGSM(BALL, steps=20, loss=cross_entropy), smooth + diverse),
        ("PGD", PGD(BALL, steps=20, loss=cross_entropy), ()),
        ("APGD", APGD(BALL, steps=20, loss=cross_entropy), ()),
    ]
    found = []
    for name, attack, path in rivals:
        for targeted in (True, False):
            craft = Craft(attack, through(["IncV3_a"], *path), targeted=targeted)
            for judged in NETWORKS:
                goal = "targeted" if targeted else "untargeted"
                found += both_rates(craft, on(judged), f"{name} on IncV3_a, {goal}, Δ=16, judged by {judged}")
    return found


@register("cia-2")
def table2() -> Experiment:
    """CIA on one network, judged by five."""
    return Experiment(
        "cia-2",
        "Table 2: attacking IncV3_b alone",
        SOURCE,
        cells,
        five(small=3.5, paper=5400),
        CSV,
        notes=(
            "The paper concludes that transfer is inexistent. Beyond the table: every other network as the source, and "
            "attacks with momentum, input diversity and translation-invariant gradients, targeted and untargeted.",
        ),
    )
