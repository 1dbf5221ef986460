"""Table 5: accuracy of the defences on images that six attacks make on the ResNet, CIFAR-10."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.efficient.attacks import TRANSFERRED
from vauban.reproduce.papers.efficient.networks import PAPER
from vauban.reproduce.papers.efficient.setting import transfer_label, transfer_table
from vauban.reproduce.registry import register

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
    return transfer_table(5, "cifar10", "CIFAR-10", minutes=4, claims=CLAIMS)
