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
DIVERSE, SMOOTH = (Diverse(),), (Translated(size=3, sigma=1.0),)
RIVALS: list[tuple[str, Attack, tuple[Path, ...]]] = [
    ("CIA", cia(16), ()),
    ("CIA, beta1 = 0.9", cia(16, beta1=0.9), ()),
    ("CIA, input diversity", cia(16), DIVERSE),
    ("CIA, translation invariance", cia(16), SMOOTH),
    ("CIA, both", cia(16), SMOOTH + DIVERSE),
    ("MI-FGSM", MIFGSM(BALL, steps=20, loss=cross_entropy), ()),
    ("MI-FGSM, both", MIFGSM(BALL, steps=20, loss=cross_entropy), SMOOTH + DIVERSE),
    ("PGD", PGD(BALL, steps=20, loss=cross_entropy), ()),
    ("APGD", APGD(BALL, steps=20, loss=cross_entropy), ()),
]
"""Attacks at 20 gradients and Delta = 16, and the objectives made for transfer that they go through."""


def cells(scale: Scale) -> list[TableCell]:
    printed = printed_cells(CSV, lambda row: Craft(cia(float(row["delta_255"])), through(["IncV3_b"])))
    return printed + every_source() + rivals()


def every_source() -> list[TableCell]:
    """'Verified when attacking any other classifier alone': every other network as the source, Delta = 16."""
    return [
        cell
        for source in NETWORKS
        if source != "IncV3_b"
        for judge in NETWORKS
        for cell in both_rates(
            Craft(cia(16), through([source])), on(judge), f"CIA on {source}, Δ=16, judged by {judge}"
        )
    ]


def rivals() -> list[TableCell]:
    """RIVALS from IncV3_a, targeted and not."""
    cells = []
    for name, attack, path in RIVALS:
        for targeted, goal in ((True, "targeted"), (False, "untargeted")):
            craft = Craft(attack, through(["IncV3_a"], *path), targeted=targeted)
            for judge in NETWORKS:
                cells += both_rates(craft, on(judge), f"{name} on IncV3_a, {goal}, Δ=16, judged by {judge}")
    return cells


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
