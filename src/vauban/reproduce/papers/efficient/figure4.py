"""Figure 4: accuracy of the variants of the CNN under FGSM and Random+FGSM over epsilon, MNIST."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.efficient.networks import names_of, variant_scales
from vauban.reproduce.papers.efficient.setting import AMBIGUOUS, NOTES, SOURCE, accuracy, box_curves, under
from vauban.reproduce.registry import register

MOST = 1.0
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
        "Label smoothing makes the CNN worse",
        "section 4.3",
        tuple(Larger(white("CNN", eps), white("LS", eps)) for eps in (0.1, 0.2, 0.3)),
    ),
    Claim(
        "Adversarial training is ineffective in the white box: no more than 5 points better than the CNN",
        "section 4.3",
        tuple(Larger(white("CNN", eps), white("AT", eps), by=-0.05) for eps in (0.1, 0.2, 0.3)),
        "the printed mixture, with FGSM",
    ),
    Claim(
        "Feature squeezing, VAT and Gaussian augmentation are the best three",
        "section 4.3",
        tuple(
            Larger(white(best, 0.3), white(other, 0.3))
            for best in ("FS", "VAT", "GDA+RELU")
            for other in ("CNN", "LS", "AT")
        ),
    ),
    Claim(
        "Below eps 0.3 VAT is not as effective as the other two",
        "section 4.3",
        tuple(Larger(white(best, eps), white("VAT", eps)) for best in ("FS", "GDA+RELU") for eps in (0.1, 0.2)),
    ),
)


@register("efficient-fig4")
def figure4() -> Experiment:
    """The variants of the CNN under FGSM and Random+FGSM, MNIST."""
    return Experiment(
        "efficient-fig4",
        "Figure 4: defences under FGSM and Random+FGSM, MNIST",
        SOURCE,
        cells,
        variant_scales("mnist", 0.5),
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
