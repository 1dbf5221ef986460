"""Figure 4: accuracy against dissimilarity where the attacker has the gradients of the system that answers (WhiteBox)."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel
from vauban.reproduce.papers.s2snet.attacks import ATTACKS, SCALES
from vauban.reproduce.papers.s2snet.networks import BARE, TUNED, UNTUNED
from vauban.reproduce.papers.s2snet.setting import WHITEBOX, above, cells_of, clean_label, curves, experiment, label
from vauban.reproduce.registry import register

LARGEST = 16.0
"""Of FGSM and BIM."""


def own(attack: str, strength: float, system: str, metric: str) -> str:
    """A cell of a system under its own gradients."""
    return label(attack, strength, system, system, metric)


def cells(scale: Scale) -> list[TableCell]:
    return cells_of(WHITEBOX, scale)


def panels(scale: Scale) -> list[Panel]:
    return curves(WHITEBOX, scale)


CLAIMS = (
    Claim(
        "There is no drop of accuracy on clean images: no more than a point is lost",
        "section 1, section 3.1",
        (Larger(clean_label(TUNED), clean_label(BARE), by=-0.01),),
    ),
    Claim(
        "Through the auto-encoder of the first stage accuracy is within a few points: three",
        "section 3.1",
        (Larger(clean_label(UNTUNED), clean_label(BARE), by=-0.03),),
        "how many points is lost in the text",
    ),
    Claim(
        "The bare network fails completely under BIM and C&W: more than nine of ten images",
        "section 4.1",
        (Larger(own("BIM", LARGEST, BARE, "P_suc"), 0.9), Larger(own("CW", 1.0, BARE, "P_suc"), 0.9)),
    ),
    Claim(
        "It moderately resists FGSM: more images stay right than under BIM",
        "section 4.1",
        (
            Larger(
                own("FGSM", LARGEST, BARE, "relative_accuracy"), own("BIM", LARGEST, BARE, "relative_accuracy"), by=0.1
            ),
        ),
    ),
    *(
        Claim(
            f"Behind the S2SNet more images stay right than without it, at equal dissimilarity, under {attack}",
            "section 4.1",
            (above(attack, (TUNED, TUNED), (BARE, BARE), "relative_accuracy"),),
        )
        for attack in ATTACKS
    ),
    Claim(
        "C&W gets through the S2SNet with larger perturbations alone",
        "section 4.1",
        tuple(
            Larger(own("CW", factor, TUNED, "dissimilarity"), own("CW", factor, BARE, "dissimilarity"))
            for factor in SCALES
        ),
    ),
    Claim(
        "No configuration entirely fools the defended network",
        "section 4.1",
        tuple(
            Larger(own(name, strength, TUNED, "relative_accuracy"), 0.0)
            for name, strength in (("FGSM", LARGEST), ("BIM", LARGEST), ("CW", SCALES[-1]))
        ),
    ),
    *(
        Claim(
            f"The auto-encoder of the first stage alone is consistently below the S2SNet under {attack}",
            "section 4.1",
            (above(attack, (TUNED, TUNED), (UNTUNED, UNTUNED), "relative_accuracy"),),
        )
        for attack in ATTACKS
    ),
)


@register("s2snet-fig4")
def figure4() -> Experiment:
    """Accuracy against dissimilarity, gradients of the system that answers."""
    return experiment("fig4", "Figure 4: WhiteBox", cells, panels=panels, claims=CLAIMS, minutes=20)
