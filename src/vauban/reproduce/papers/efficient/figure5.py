"""Figure 5: accuracy of the variants of the CNN under FGSM and Random+FGSM over epsilon, CIFAR-10."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.efficient.networks import names_of, variant_scales
from vauban.reproduce.papers.efficient.setting import AMBIGUOUS, NOTES, SOURCE, accuracy, box_curves, under
from vauban.reproduce.registry import register

MOST = 0.3
"""The largest epsilon that is drawn."""


def white(name: str, eps: float) -> str:
    """The label of a variant under FGSM in the white box."""
    return under(name, "white box", "FGSM", eps)


def cells(scale: Scale) -> list[TableCell]:
    names = names_of(scale)
    attacked = [
        cell for curves in box_curves(scale, names, MOST).values() for points in curves.values() for _, cell in points
    ]
    return [*(accuracy(None, name, name, f"{name}, clean images") for name in names), *attacked]


def panels(scale: Scale) -> list[Panel]:
    return [
        Sweep(title, "eps", "accuracy", curves) for title, curves in box_curves(scale, names_of(scale), MOST).items()
    ]


CLAIMS = (
    Claim(
        "Gaussian augmentation holds at small epsilon where squeezing and VAT break",
        "section 4.3",
        tuple(
            Larger(white(best, eps), white(other, eps))
            for best in ("GDA+RELU", "GDA+BRELU")
            for other in ("FS", "VAT")
            for eps in (0.05, 0.1)
        ),
    ),
    Claim(
        "Squeezing and VAT lower the accuracy on clean images",
        "section 4.3",
        tuple(Larger("CNN, clean images", f"{name}, clean images") for name in ("FS", "VAT")),
    ),
)


@register("efficient-fig5")
def figure5() -> Experiment:
    """The variants of the CNN under FGSM and Random+FGSM, CIFAR-10."""
    return Experiment(
        "efficient-fig5",
        "Figure 5: defences under FGSM and Random+FGSM, CIFAR-10",
        SOURCE,
        cells,
        variant_scales("cifar10", 0.8),
        None,
        printed_n=10000,
        ambiguous=AMBIGUOUS,
        notes=(
            *NOTES,
            "The captions of Figures 4 and 5 are lost; both boxes and both attacks are drawn for each data set.",
        ),
        panels=panels,
        claims=CLAIMS,
    )
