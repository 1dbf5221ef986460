"""Figure 4: accuracy of the variants of the CNN under FGSM and Random+FGSM over epsilon, MNIST."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.efficient.setting import box_figure, white
from vauban.reproduce.registry import register

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
    return box_figure(4, "mnist", "MNIST", most=1.0, minutes=0.5, claims=CLAIMS)
