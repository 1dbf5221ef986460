"""Figure 7: images made behind the S2SNet, answered by the bare network, the S2SNet removed (GrayBox-)."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel
from vauban.reproduce.papers.s2snet.attacks import ATTACKS, EPS
from vauban.reproduce.papers.s2snet.networks import BARE, TUNED
from vauban.reproduce.papers.s2snet.setting import GRAYBOX_MINUS, above, cells_of, curves, experiment, label
from vauban.reproduce.registry import register


def cells(scale: Scale) -> list[TableCell]:
    return cells_of(GRAYBOX_MINUS, scale)


def panels(scale: Scale) -> list[Panel]:
    return curves(GRAYBOX_MINUS, scale)


def right(attack: str, eps: float, on: str, judge: str) -> str:
    return label(attack, eps, on, judge, "relative_accuracy")


CLAIMS = (
    *(
        Claim(
            f"The bare network is more robust to images made behind the S2SNet than to its own, under {attack}",
            "section 4.2",
            (above(attack, (TUNED, BARE), (BARE, BARE), "relative_accuracy"),),
        )
        for attack in ATTACKS
    ),
    Claim(
        "Under BIM it regains half of its accuracy",
        "section 4.2",
        tuple(Larger(right("BIM", eps, TUNED, BARE), 0.5) for eps in EPS[3:]),
        "read as a relative accuracy of a half; at the three largest eps",
    ),
    Claim(
        "C&W is mostly ineffective: nine of ten images stay right",
        "section 4.2",
        (Larger(right("CW", 1.0, TUNED, BARE), 0.9),),
    ),
    Claim(
        "Images that fool f o A_f are none of those that fool f: removing the S2SNet leaves more right than keeping it",
        "section 4.2, Appendix A",
        tuple(Larger(right("BIM", eps, TUNED, BARE), right("BIM", eps, TUNED, TUNED)) for eps in EPS[3:]),
    ),
)


@register("s2snet-fig7")
def figure7() -> Experiment:
    """Images made behind the S2SNet, answered by the bare network."""
    return experiment("fig7", "Figure 7: GrayBox-", cells, panels=panels, claims=CLAIMS, minutes=15)
