"""Table 4: accuracy of the defences on images that six attacks make on the ResNet, MNIST."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.efficient.networks import PAPER
from vauban.reproduce.papers.efficient.setting import transfer_label, transfer_table
from vauban.reproduce.registry import register

CLAIMS = (
    Claim(
        "Gaussian augmentation is best under FGSM, VAT, DeepFool, JSMA and C&W",
        "section 4.5",
        tuple(
            Larger(transfer_label(kind, best), transfer_label(kind, other))
            for best in ("GDA+RELU", "GDA+BRELU")
            for kind in ("FGSM", "VAT", "DeepFool", "JSMA", "C&W")
            for other in PAPER
            if other not in ("GDA+RELU", "GDA+BRELU")
        ),
    ),
    Claim(
        "Feature squeezing is best under Random+FGSM",
        "section 4.5",
        tuple(
            Larger(transfer_label("Random+FGSM", "FS"), transfer_label("Random+FGSM", other))
            for other in PAPER
            if other != "FS"
        ),
    ),
    Claim(
        "Label smoothing is below the CNN under Random+FGSM",
        "section 4.5",
        (Larger(transfer_label("Random+FGSM", "CNN"), transfer_label("Random+FGSM", "LS")),),
    ),
)


@register("efficient-4")
def table4() -> Experiment:
    """Defences on images made on the ResNet, MNIST."""
    return transfer_table(4, "mnist", "MNIST", minutes=3, claims=CLAIMS)
