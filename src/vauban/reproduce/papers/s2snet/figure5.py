"""Figure 5: images made on the bare network, answered behind the S2SNet (WhiteBox+)."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel
from vauban.reproduce.papers.s2snet.attacks import EPS, SCALES
from vauban.reproduce.papers.s2snet.networks import BARE, TUNED
from vauban.reproduce.papers.s2snet.setting import WHITEBOX_PLUS, cells_of, curves, experiment, label
from vauban.reproduce.registry import register


def cells(scale: Scale) -> list[TableCell]:
    return cells_of(WHITEBOX_PLUS, scale)


def panels(scale: Scale) -> list[Panel]:
    return curves(WHITEBOX_PLUS, scale)


def answered_by(judge: str, attack: str, strength: float) -> str:
    return label(attack, strength, BARE, judge, "relative_accuracy")


CLAIMS = (
    *(
        Claim(
            f"Under {attack} the defended network goes back to the behaviour of the bare one: within five points",
            "section 4.1.1",
            tuple(Larger(answered_by(BARE, attack, eps), answered_by(TUNED, attack, eps), by=-0.05) for eps in EPS[3:]),
            "at the three largest eps",
        )
        for attack in ("FGSM", "BIM")
    ),
    Claim(
        "C&W is less effective here: more images stay right than of the bare network",
        "section 4.1.1",
        tuple(Larger(answered_by(TUNED, "CW", factor), answered_by(BARE, "CW", factor)) for factor in SCALES),
    ),
    Claim(
        "and than behind the S2SNet under its own gradients",
        "section 4.1.1",
        (Larger(answered_by(TUNED, "CW", 1.0), label("CW", 1.0, TUNED, TUNED, "relative_accuracy")),),
        "the other side stands in Figure 4, whose images are larger perturbations",
    ),
)


def with_whitebox(scale: Scale) -> list[TableCell]:
    """The cells, and those of Figure 4 that the last claim compares with."""
    return [*cells(scale), *cells_of(((TUNED, TUNED),), scale, ("CW",))[1:]]


@register("s2snet-fig5")
def figure5() -> Experiment:
    """Images made on the bare network, answered behind the S2SNet."""
    return experiment("fig5", "Figure 5: WhiteBox+", with_whitebox, panels=panels, claims=CLAIMS, minutes=15)
