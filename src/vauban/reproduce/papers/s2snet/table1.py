"""Table 1: how alike the gradient magnitudes of five systems are; other labels; information that is left."""

from __future__ import annotations

from itertools import combinations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.s2snet.networks import BARE, CHAIN, SYSTEMS, TUNED, UNTUNED
from vauban.reproduce.papers.s2snet.setting import clean, clean_label, experiment
from vauban.reproduce.registry import register

LABELLED = (BARE, TUNED, UNTUNED)
PAIRS = tuple(combinations(SYSTEMS, 2))


def ssim(first: str, second: str) -> str:
    return f"SSIM of gradients of {first} and {second}"


def relabelled(system: str) -> str:
    return f"SSIM of gradients of {system}, true and random label"


def information(system: str) -> str:
    return f"mutual information of the image and what {system} sees"


def similarity(first: str, second: str, text: str, label: str = "own") -> TableCell:
    metric = f"gradient-similarity:first='{SYSTEMS[first]}',second='{SYSTEMS[second]}',label={label}"
    return TableCell(None, Judge((CHAIN,)), metric, {}, text)


def cells(scale: Scale) -> list[TableCell]:
    told = [similarity(*pair, ssim(*pair)) for pair in PAIRS]
    told += [similarity(system, system, relabelled(system), "other") for system in LABELLED]
    told += [
        TableCell(None, Judge((system,)), "input-information", {}, information(system)) for system in (TUNED, UNTUNED)
    ]
    return [*told, *(clean(system) for system in LABELLED)]


CLAIMS = (
    Claim(
        "Gradients of any two systems with an auto-encoder are twice as alike as those of the classifier and any of them",
        "section 3.2",
        tuple(
            Larger(ssim(*alike), ssim(*apart), times=2)
            for alike in PAIRS
            if BARE not in alike
            for apart in PAIRS
            if BARE in apart
        ),
        "every one of the six pairs is compared with each of the four",
    ),
    Claim(
        "Of the class loss alone: those of f o A_f and f o A are twice as alike as those of f and either",
        "section 3.2, of the three systems that answer",
        tuple(Larger(ssim(TUNED, UNTUNED), ssim(BARE, system), times=2) for system in (TUNED, UNTUNED)),
    ),
    Claim(
        "Fine-tuning has changed the reconstruction: gradients of A_f and A are not the same",
        "section 3.2",
        (Larger(1.0, ssim("A_f", "A")),),
    ),
    Claim(
        "The label matters less for gradients that go through an auto-encoder",
        "section 3.2",
        tuple(Larger(relabelled(system), relabelled(BARE)) for system in (TUNED, UNTUNED)),
    ),
    Claim(
        "The reconstruction holds less information after fine-tuning than before",
        "section 3.1",
        (Larger(information(UNTUNED), information(TUNED)),),
        "by a histogram of single pixels",
    ),
    Claim(
        "and the network answers as well as without it, within a point",
        "section 3.1",
        (Larger(clean_label(TUNED), clean_label(BARE), by=-0.01),),
    ),
)


@register("s2snet-table1")
def table1() -> Experiment:
    """SSIM of gradient magnitudes of five systems; the study of labels; mutual information."""
    return experiment(
        "table1",
        "Table 1: similarity of gradient magnitudes",
        cells,
        claims=CLAIMS,
        minutes=10,
        notes=(
            "Magnitudes are scaled to [0,1] in each image. Alone an auto-encoder is differentiated by its squared error "
            "against the original, which is held constant. Label study: the same image, its label and another drawn at "
            "random.",
        ),
    )
