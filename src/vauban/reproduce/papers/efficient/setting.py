"""Cells, curves and open questions that tables and figures of the paper share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.r_fgsm import RFGSM
from vauban.attacks.fixed_budget.vat import VAT
from vauban.attacks.minimal.cw_l2 import CW
from vauban.attacks.minimal.deepfool import DeepFool
from vauban.attacks.minimal.jsma import JSMA
from vauban.core.losses import cross_entropy
from vauban.core.norms import L2, Linf
from vauban.engine import Attack
from vauban.reproduce.claims import FEW
from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell, WeightedNetwork
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


Curves = dict[str, list[tuple[float, TableCell]]]
"""By network, epsilon and the cell measured there."""


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


BOXES = {"white box": None, "black box": "ResNet"}
"""What is attacked in the place of the network that answers."""


def epsilons(scale: Scale, most: float) -> tuple[float, ...]:
    """The radii of the curves up to `most`; the first and the last alone on a few images."""
    upto = tuple(eps for eps in EPSILONS if eps <= most)
    return upto if scale.images >= FEW else (upto[0], upto[-1])


def box_curves(scale: Scale, names: Iterable[str], most: float) -> dict[str, Curves]:
    """Accuracy over epsilon of every variant, by panel of Figures 4 and 5.

    Args:
        scale: How much is run.
        names: The variants.
        most: The largest epsilon.
    """
    return {
        f"{kind}, {box}": {
            name: curve(kind, source or name, name, epsilons(scale, most), f"{name}, {box}") for name in names
        }
        for kind in ATTACKS
        for box, source in BOXES.items()
    }


def under(name: str, box: str, kind: str, eps: float) -> str:
    """The label of a cell of `box_curves`."""
    return f"{name}, {box}: {kind}, eps {eps:g}"


def transfers(scale: Scale) -> dict[str, Attack]:
    """The attacks of Tables 4 and 5 by name; shorter on a few images."""
    few = scale.images < FEW
    return {
        "FGSM": fgsm(0.1),
        "Random+FGSM": random_fgsm(0.1),
        "VAT": VAT(L2(2.1)),
        "DeepFool": DeepFool(3 if few else 100),
        "JSMA": JSMA(3 if few else 250, theta=0.1, gamma=1.0),
        "C&W": CW(search_steps=1, steps=3) if few else CW(kappa=2.3, steps=200),
    }


TRANSFERRED = ("FGSM", "Random+FGSM", "VAT", "DeepFool", "JSMA", "C&W")
"""The attacks of Tables 4 and 5."""


def transfer_label(kind: str, name: str) -> str:
    return f"{kind} made on ResNet, answered by {name}"


def transferred(scale: Scale, kind: str, name: str) -> TableCell:
    """The accuracy of a variant on the images that an attack of TRANSFERRED makes on the ResNet.

    JSMA heads for a wrong class drawn once for each image.
    """
    attack = transfers(scale)[kind]
    nearest = kind in ("DeepFool", "JSMA", "C&W")
    made = replace(craft(attack, "ResNet"), targeted=kind == "JSMA", keep="best" if nearest else "last")
    return TableCell(made, Judge((name,)), "accuracy", {}, transfer_label(kind, name))
