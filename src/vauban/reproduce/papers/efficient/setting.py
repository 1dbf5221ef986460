"""Cells, curves and open questions that tables and figures of the paper share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vauban.engine import Attack
from vauban.reproduce.claims import Claim
from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.efficient.attacks import ATTACKS, TRANSFERRED, epsilons, minimal_fgsm, transfers
from vauban.reproduce.papers.efficient.scales import names_of, variant_scales

SOURCE = (
    "V. Zantedeschi, M.-I. Nicolae, A. Rawat, Efficient Defenses Against Adversarial Attacks, AISec 2017 "
    "(arXiv:1707.06728)"
)
AMBIGUOUS = (
    Ambiguity(
        "epochs, batches, optimiser, strides and padding are not printed; those of the network it follows are used"
    ),
    Ambiguity(
        "the random step of Random+FGSM, 'Gaussian noise within a range of alpha', is read as its sign times alpha; the "
        "other reading is `r-fgsm:first=clipped`"
    ),
)
NOTES = (
    "Attacked images are not rounded. The printed FGSM follows the cross-entropy; an image that is labelled wrong before "
    "the attack counts as wrong after it.",
)

Curves = dict[str, list[tuple[float, TableCell]]]
"""By network, epsilon and the cell measured there."""


def craft(attack: Attack, role: str) -> Craft:
    """The images that an attack makes on the network of a role by its own gradients, as floats."""
    return Craft(attack, (WeightedNetwork(role, bpda="none"),), targeted=False, saved="float")


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


def white(name: str, eps: float) -> str:
    """The label of a variant under FGSM in the white box, in `box_curves`."""
    return f"{name}, white box: FGSM, eps {eps:g}"


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


def clean_cells(scale: Scale) -> list[TableCell]:
    """The accuracy of every variant on clean images."""
    return [accuracy(None, name, name, f"{name}, clean images") for name in names_of(scale)]


def minimal(scale: Scale, name: str) -> Craft:
    """The images of the minimal FGSM on a variant."""
    return replace(craft(minimal_fgsm(scale), name), keep="best")


def box_figure(
    number: int, data: str, title: str, most: float, minutes: float, claims: tuple[Claim, ...]
) -> Experiment:
    """Figure 4 or 5: the variants of the CNN under FGSM and Random+FGSM over epsilon, in both boxes.

    Args:
        number: Of the figure.
        data: "mnist" or "cifar10".
        title: What the data are called.
        most: The largest epsilon that is drawn.
        minutes: Of the attacks with one training seed.
        claims: What the text says.
    """

    def cells(scale: Scale) -> list[TableCell]:
        panels = box_curves(scale, names_of(scale), most).values()
        attacked = [cell for curves in panels for points in curves.values() for _, cell in points]
        return [*clean_cells(scale), *attacked]

    def panels(scale: Scale) -> list[Panel]:
        drawn = box_curves(scale, names_of(scale), most)
        return [Sweep(panel, "eps", "accuracy", curves) for panel, curves in drawn.items()]

    return Experiment(
        f"efficient-fig{number}",
        f"Figure {number}: defences under FGSM and Random+FGSM, {title}",
        SOURCE,
        cells,
        variant_scales(data, minutes),
        None,
        printed_n=10000,
        ambiguous=AMBIGUOUS,
        notes=(
            *NOTES,
            "The captions of Figures 4 and 5 are lost; both boxes and both attacks are drawn for each data set.",
        ),
        panels=panels,
        claims=claims,
    )


def transfer_table(number: int, data: str, title: str, minutes: float, claims: tuple[Claim, ...]) -> Experiment:
    """Table 4 or 5: the variants of the CNN on images that six attacks make on the ResNet; arguments as of `box_figure`."""

    def cells(scale: Scale) -> list[TableCell]:
        return [
            *clean_cells(scale),
            *(transferred(scale, kind, name) for kind in TRANSFERRED for name in names_of(scale)),
        ]

    return Experiment(
        f"efficient-{number}",
        f"Table {number}: defences on images made on the ResNet, {title}",
        SOURCE,
        cells,
        variant_scales(data, minutes),
        None,
        printed_n=10000,
        ambiguous=AMBIGUOUS,
        notes=(*NOTES, "The numbers of Tables 4 and 5 are lost; what the text says of them is answered."),
        claims=claims,
    )
