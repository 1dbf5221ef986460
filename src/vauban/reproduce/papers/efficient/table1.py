"""Table 1: accuracy under FGSM at 0.1, made on one of four networks and answered by each, MNIST."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.efficient.attacks import fgsm
from vauban.reproduce.papers.efficient.networks import FOUR
from vauban.reproduce.papers.efficient.scales import four_network_scales
from vauban.reproduce.papers.efficient.setting import AMBIGUOUS, NOTES, SOURCE, accuracy
from vauban.reproduce.printed import rows_of
from vauban.reproduce.registry import register

CSV = "efficient-table1.csv"


def label(on: str, judge: str) -> str:
    return f"made on {on}, answered by {judge}"


def cells(scale: Scale) -> list[TableCell]:
    printed = [
        accuracy(fgsm(0.1), row["crafted_on"], row["tested_on"], label(row["crafted_on"], row["tested_on"]), row)
        for row in rows_of(CSV)
    ]
    return [*printed, *(accuracy(None, role, role, f"clean images, {role}") for role in FOUR)]


CLAIMS = (
    Claim(
        "Each network is fooled most by the images made on itself",
        "section 4.2",
        tuple(Larger(label(on, judge), label(judge, judge)) for judge in FOUR for on in FOUR if on != judge),
    ),
    Claim(
        "The CNN keeps an accuracy above 90 % on all images made on another network",
        "section 4.2",
        tuple(Larger(label(on, judge), 0.9) for judge in ("CNN+RELU", "CNN+BRELU") for on in FOUR if on != judge),
    ),
    Claim(
        "The bounded ReLU makes the CNN more accurate on the images made on itself",
        "section 4.2",
        (Larger(label("CNN+BRELU", "CNN+BRELU"), label("CNN+RELU", "CNN+RELU")),),
        "one step of FGSM only: a bounded ReLU has no gradient where it saturates, which one step cannot get around",
    ),
    Claim(
        "The ResNet is no more robust than the CNN to the images made on itself",
        "section 4.2",
        tuple(
            Larger(label(f"CNN+{kind}", f"CNN+{kind}"), label(f"ResNet+{kind}", f"ResNet+{kind}"))
            for kind in ("RELU", "BRELU")
        ),
    ),
    Claim(
        "The ResNet is hurt most by transfer",
        "section 4.2",
        tuple(
            Larger(label(on, f"CNN+{kind}"), label(on, f"ResNet+{kind}"))
            for kind in ("RELU", "BRELU")
            for on in ("CNN+RELU", "CNN+BRELU", "ResNet+RELU", "ResNet+BRELU")
            if on not in (f"CNN+{kind}", f"ResNet+{kind}")
        ),
    ),
)


@register("efficient-1")
def table1() -> Experiment:
    """Transfer between CNN and ResNet with ReLU and bounded ReLU."""
    return Experiment(
        "efficient-1",
        "Table 1: transfer between CNN and ResNet with ReLU and bounded ReLU, MNIST",
        SOURCE,
        cells,
        four_network_scales(0.02),
        CSV,
        printed_n=10000,
        ambiguous=AMBIGUOUS,
        notes=NOTES,
        claims=CLAIMS,
    )
