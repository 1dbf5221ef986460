"""Figure 1: what clipping costs C&W, beside CIA; and C&W in CIA's own interval, which needs no clipping either."""

from __future__ import annotations

from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.fixed_budget.mi_fgsm import MIFGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.cw_l2 import CW
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.engine import Attack
from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.papers.cia.setting import SOURCE, Row, cia, on, single, through
from vauban.reproduce.printed import rows_of
from vauban.reproduce.registry import register

CSV = "cia-figure1.csv"
DELTA = 4
RADIUS = DELTA / 255
SOURCES = through(["IncV3_a"])


def carlini(box: float | None = None, c: float = 1.0) -> CW:
    """20 gradients of C&W's L2 attack at one constant; the paper's constant is not stated."""
    return CW(search_steps=1, steps=20, lr=0.05, c=c, box=box)


RIVALS: dict[str, Attack] = {
    "CIA": cia(DELTA),
    "C&W inside CIA's interval": carlini(box=RADIUS),
    "PGD": PGD(Linf(RADIUS), steps=20, loss=cross_entropy),
    "APGD": APGD(Linf(RADIUS), steps=20, loss=cross_entropy),
    "MI-FGSM": MIFGSM(Linf(RADIUS), steps=20, loss=cross_entropy),
}


def craft(row: Row) -> Craft:
    """Part a of the figure is C&W, part b the same image clipped, part c CIA."""
    if row["item"].startswith("Figure 1 a"):
        return Craft(carlini(), SOURCES)
    if row["item"].startswith("Figure 1 b"):
        return Craft(carlini(), SOURCES, clip=RADIUS)
    return Craft(cia(DELTA), SOURCES)


def cells(scale: Scale) -> list[TableCell]:
    printed = [TableCell(craft(row), on("IncV3_a"), row["metric"], row, row["item"]) for row in rows_of(CSV)]
    beyond = []
    for c in (1.0, 10.0, 100.0):
        for clip, moment in ((None, "before clipping"), (RADIUS, "after clipping")):
            beyond += confidence_and_success(Craft(carlini(c=c), SOURCES, clip=clip), f"C&W, c = {c:g}, {moment}")
    for name, attack in RIVALS.items():
        beyond += confidence_and_success(Craft(attack, SOURCES), f"{name}, 20 gradients, Δ=4")
    return printed + beyond


def confidence_and_success(craft: Craft, label: str) -> list[TableCell]:
    """The two cells of an attack beyond the figure."""
    metrics = ("target_confidence", "targeted_success_rate")
    return [TableCell(craft, on("IncV3_a"), metric, {}, f"{label}: {metric.replace('_', ' ')}") for metric in metrics]


@register("cia-fig1")
def figure1() -> Experiment:
    """The price of clipping."""
    return Experiment(
        "cia-fig1",
        "Figure 1: C&W before and after clipping, and CIA",
        SOURCE,
        cells,
        single(small=270, paper=2200, cifar=1.5),
        CSV,
        printed_n=1,
        ambiguous=(Ambiguity("the figure is one image; C&W's constant, step and loss are not stated"),),
        notes=("The paper's three numbers are one picture of a guitar; ours are means over all images.",),
    )
