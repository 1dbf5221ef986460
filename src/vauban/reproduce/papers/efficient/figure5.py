"""Figure 5: accuracy of the variants of the CNN under FGSM and Random+FGSM over epsilon, CIFAR-10."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.efficient.setting import box_figure, white
from vauban.reproduce.registry import register

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
    return box_figure(5, "cifar10", "CIFAR-10", most=0.3, minutes=0.8, claims=CLAIMS)
