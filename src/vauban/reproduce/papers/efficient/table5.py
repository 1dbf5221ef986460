"""Table 5: accuracy of the defences on images that six attacks make on the ResNet, CIFAR-10."""

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
        "Gaussian augmentation is best under every attack",
        "section 4.5",
        tuple(
            Larger(transfer_label(kind, best), transfer_label(kind, other))
            for best in ("GDA+RELU", "GDA+BRELU")
            for kind in TRANSFERRED
            for other in PAPER
            if other not in ("GDA+RELU", "GDA+BRELU")
        ),
    ),
)


@register("efficient-5")
def table5() -> Experiment:
    """Defences on images made on the ResNet, CIFAR-10."""
    return Experiment(
        "efficient-5",
        "Table 5: defences on images made on the ResNet, CIFAR-10",
        SOURCE,
        cells,
        variant_scales("cifar10", 4),
        None,
        printed_n=10000,
        ambiguous=AMBIGUOUS,
        notes=(*NOTES, "The numbers of Tables 4 and 5 are lost; what the text says of them is answered."),
        claims=CLAIMS,
    )
