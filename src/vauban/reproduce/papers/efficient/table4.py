"""Table 4: accuracy of the defences on images that six attacks make on the ResNet, MNIST."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.efficient.networks import PAPER, names_of, variant_scales
from vauban.reproduce.papers.efficient.setting import (
    AMBIGUOUS,
    NOTES,
    SOURCE,
    TRANSFERRED,
    accuracy,
    transfer_label,
    transferred,
)
from vauban.reproduce.registry import register


def cells(scale: Scale) -> list[TableCell]:
    names = names_of(scale)
    clean = [accuracy(None, name, name, f"{name}, clean images") for name in names]
    return [*clean, *(transferred(scale, kind, name) for kind in TRANSFERRED for name in names)]


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
    return Experiment(
        "efficient-4",
        "Table 4: defences on images made on the ResNet, MNIST",
        SOURCE,
        cells,
        variant_scales("mnist", 3),
        None,
        printed_n=10000,
        ambiguous=AMBIGUOUS,
        notes=(*NOTES, "The numbers of Tables 4 and 5 are lost; what the text says of them is answered."),
        claims=CLAIMS,
    )
