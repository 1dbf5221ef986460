"""Cells, curves and open questions that tables and figures of the paper share."""

from __future__ import annotations

from collections.abc import Iterable

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.r_fgsm import RFGSM
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.engine import Attack
from vauban.reproduce.declarations import Craft, Judge, TableCell, WeightedNetwork
from vauban.reproduce.experiment import Ambiguity

SOURCE = (
    "V. Zantedeschi, M.-I. Nicolae, A. Rawat, Efficient Defenses Against Adversarial Attacks, AISec 2017 "
    "(arXiv:1707.06728)"
)
AMBIGUOUS = (
    Ambiguity(
        "epochs, batches, optimiser, strides and padding are not printed; those of the network it follows are used"
    ),
)
NOTES = (
    "Attacked images are not rounded. The printed FGSM follows the cross-entropy; an image that is labelled wrong before "
    "the attack counts as wrong after it.",
)
EPSILONS = (0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
"""Of the curves over epsilon; those on CIFAR-10 end at 0.3."""


def fgsm(eps: float) -> Attack:
    return FGSM(Linf(eps), loss=cross_entropy)


def random_fgsm(eps: float) -> Attack:
    """A step of 0.05 in a random direction of signs, then FGSM with the rest; half of eps each where that is below 0.05."""
    return RFGSM(Linf(eps), alpha=min(0.05, eps / 2), loss=cross_entropy)


ATTACKS = {"FGSM": fgsm, "Random+FGSM": random_fgsm}


def craft(attack: Attack, role: str) -> Craft:
    """The images that an attack makes on the network of a role, as floats."""
    return Craft(attack, (WeightedNetwork(role),), targeted=False, saved="float")


def accuracy(attack: Attack | None, on: str, judge: str, label: str, key: dict[str, str] | None = None) -> TableCell:
    """The accuracy of a network on the images that an attack makes on another, or on clean ones.

    Args:
        attack: None for clean images.
        on: The role that is attacked.
        judge: The role that answers.
        label: Of the cell.
        key: The printed row beside it.
    """
    made = None if attack is None else craft(attack, on)
    return TableCell(made, Judge((judge,)), "accuracy", key or {}, label)


def curve(kind: str, on: str, judge: str, epsilons: Iterable[float], title: str) -> list[tuple[float, TableCell]]:
    """Accuracy over epsilon under an attack of ATTACKS.

    Args:
        kind: Its name there.
        on: The role that is attacked.
        judge: The role that answers.
        epsilons: Radii, pixel units.
        title: What the labels of the cells begin with.
    """
    return [(eps, accuracy(ATTACKS[kind](eps), on, judge, f"{title}: {kind}, eps {eps:g}")) for eps in epsilons]
