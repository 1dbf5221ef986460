"""Table 4.2: the six attacks of Table 4.1 on adversarially trained networks, an experiment for each."""

from __future__ import annotations

from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.thesis4.networks import C4_ADV, V3_ADV, digits, photographs
from vauban.reproduce.papers.thesis4.setting import AMBIGUOUS, FREE, NOTES, SOURCE, six_attacks
from vauban.reproduce.registry import register

MNIST, INCEPTION = "thesis-table4.2-mnist.csv", "thesis-table4.2-inception.csv"


@register("thesis-4.2-mnist")
def table2_mnist() -> Experiment:
    """Six attacks on C4 trained against FGSM."""
    return Experiment(
        "thesis-4.2-mnist",
        "Table 4.2, MNIST: C4 adversarially trained on FGSM",
        SOURCE,
        six_attacks(MNIST, C4_ADV),
        digits(small=22, paper=1100, role=C4_ADV),
        MNIST,
        printed_n=10000,
        ambiguous=AMBIGUOUS,
        notes=(
            *NOTES,
            "The training is read as originals with their FGSM versions at 0.3, made in every batch and half of the loss "
            "each (section 3.2.2; the chapter gives neither). A single step is what such a network learns to hide from: "
            "PGD2, DDN and BP say how far it is robust.",
            *FREE,
        ),
    )


@register("thesis-4.2-inception")
def table2_inception() -> Experiment:
    """Six attacks on the adversarially trained InceptionV3."""
    return Experiment(
        "thesis-4.2-inception",
        "Table 4.2, ImageNet: InceptionV3 trained on single-step images",
        SOURCE,
        six_attacks(INCEPTION, V3_ADV),
        photographs(small=12, paper=110000, roles=(V3_ADV,)),
        INCEPTION,
        ambiguous=AMBIGUOUS,
        notes=(
            *NOTES,
            "'step 1.1' is read as the single-step least-likely-class training of the public InceptionV3.",
            *FREE,
        ),
    )
