"""Table 3: classification errors of classical and permuted networks on images that four attacks make elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.minimal.cw_l0 import CWL0
from vauban.attacks.minimal.cw_l2 import CW
from vauban.attacks.minimal.cw_linf import CWLinf
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.engine import Attack
from vauban.reproduce.claims import FEW, Claim, Larger
from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.keyed.networks import CLASSICAL, OWN, PERMUTED, SMOKE, TABLES, paper, role, small
from vauban.reproduce.papers.keyed.setting import AMBIGUOUS, NOTES, SOURCE, error, made_on
from vauban.reproduce.printed import rows_of
from vauban.reproduce.registry import register

EPS = {"mnist": 0.3, "fashion-mnist": 0.1}
"""Radius of FGSM, which is not printed."""
SWEEP = (0.05, 0.1, 0.2, 0.4)
"""Further radii of FGSM: where a keyed network leaves a classical one behind."""


def attacks(data: str, few: bool) -> Mapping[str, Attack]:
    """The attacks by their printed names, shorter on a few images.

    Args:
        data: For the radius of FGSM.
        few: Whether the experiment is a trial of the code.
    """
    return {
        "CW-l2": CW(1, 2) if few else CW(),
        "CW-l0": CWL0(steps=2) if few else CWL0(),
        "CW-linf": CWLinf(steps=2) if few else CWLinf(),
        "FGSM": FGSM(Linf(EPS[data]), loss=cross_entropy),
    }


def craft(name: str, attack: Attack, source: str) -> Craft:
    """C&W heads for a wrong class drawn once for each image and keeps its nearest success, as its authors' code does."""
    targeted = name != "FGSM"
    return made_on(attack, [source], targeted, "best" if targeted else "last")


def label(name: str, made: str, judge: str) -> str:
    return f"{name} made on {made}, answered by {judge}"


def cells_of(data: str, scale: Scale) -> list[TableCell]:
    """The printed cells; then images made on the attacker's own keyed network, the other reading, and FGSM by radius."""
    made, known = [], attacks(data, scale.images < FEW)
    for row in rows_of(f"keyed-table3-{data}.csv"):
        target = role(row["network"], row["classifier"])
        source = role(row["network"], CLASSICAL)
        clean = row["samples"] == "original"
        images = None if clean else craft(row["attack"], known[row["attack"]], source)
        text = f"{row['attack']}, {row['classifier']}, {row['samples']}"
        made.append(error(images, target, text, row))
    for name, attack in known.items():
        table = TABLES[0] if name == "FGSM" else TABLES[1]
        other = craft(name, attack, role(table, OWN))
        made.append(error(other, role(table, PERMUTED), label(name, OWN, PERMUTED)))
    for eps in SWEEP:
        attack = FGSM(Linf(eps), loss=cross_entropy)
        for judge in (CLASSICAL, PERMUTED):
            images = craft("FGSM", attack, role(TABLES[0], CLASSICAL))
            made.append(error(images, role(TABLES[0], judge), label(f"FGSM {eps:g}", CLASSICAL, judge)))
    return made


CLAIMS = (
    Claim(
        "Against images made on the classical network the permuted one errs far less, under every attack",
        "section 4, Table 3",
        tuple(
            Larger(f"{name}, classical, attacked", f"{name}, permuted, attacked", by=0.5)
            for name in ("CW-l2", "CW-l0", "CW-linf", "FGSM")
        ),
        "far: by more than half of the images, as printed on MNIST",
    ),
    Claim(
        "The permutation costs little accuracy on clean images: no more than two points",
        "section 4, Table 3",
        tuple(
            Larger(f"{name}, classical, original", f"{name}, permuted, original", by=-0.02)
            for name in ("CW-l2", "FGSM")
        ),
    ),
)


def table3(data: str, title: str) -> Experiment:
    """The experiment on one of the two data sets."""
    return Experiment(
        f"keyed-3-{data}",
        f"Table 3: errors of classical and permuted networks under attacks made elsewhere, {title}",
        SOURCE,
        lambda scale: cells_of(data, scale),
        {"smoke": SMOKE, "small": small(data), "paper": paper(data)},
        f"keyed-table3-{data}.csv",
        printed_n=1000,
        ambiguous=AMBIGUOUS,
        notes=(
            *NOTES,
            "Printed errors of C&W are no multiples of 0.1 %: they are taken to be of 10 000 verdicts, the others of 1000.",
        ),
        claims=CLAIMS,
    )


@register("keyed-3-mnist")
def table3_mnist() -> Experiment:
    """Classification errors on MNIST."""
    return table3("mnist", "MNIST")


@register("keyed-3-fashion-mnist")
def table3_fashion() -> Experiment:
    """Classification errors on Fashion-MNIST."""
    return table3("fashion-mnist", "Fashion-MNIST")
