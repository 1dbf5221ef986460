"""Figure 8: FGSM made on each of several classifiers, answered by the others."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from vauban.reproduce.claims import Claim
from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.s2snet.attacks import crafts
from vauban.reproduce.papers.s2snet.networks import BARE, BASES, base_of
from vauban.reproduce.papers.s2snet.setting import above, clean, experiment, label, measured_cells
from vauban.reproduce.registry import register


def further(scale: str) -> Mapping[str, str]:
    """The classifiers beside `f`; at the scales of the paper all four, `f` being one of them under its own name."""
    return BASES[scale].classifiers


def classifiers(scale: Scale) -> tuple[str, ...]:
    """Roles of the classifiers."""
    known = tuple(base_of(scale).classifiers)
    return known if base_of(scale).form == "segnet" else (BARE, *known)


def cells(scale: Scale) -> list[TableCell]:
    told = [clean(role) for role in classifiers(scale)]
    for on in classifiers(scale):
        for judge in classifiers(scale):
            told += measured_cells("FGSM", crafts("FGSM", scale, on), on, judge)
    return told


def panels(scale: Scale) -> list[Panel]:
    """A figure for each classifier that answers: relative accuracy over dissimilarity, a curve for each source."""
    drawn: list[Panel] = []
    for judge in classifiers(scale):
        lines = {}
        for on in classifiers(scale):
            points = []
            for eps, one in crafts("FGSM", scale, on).items():
                x, y = (
                    TableCell(one, Judge((judge,)), name, {}, label("FGSM", eps, on, judge, name))
                    for name in ("dissimilarity", "relative_accuracy")
                )
                points.append((x, y))
            lines[f"made on {on}"] = points
        drawn.append(Sweep(f"Answered by {judge}", "normalised L2 dissimilarity", "relative accuracy", lines))
    return drawn


ORDER = ("VGG-16", "ResNet-50", "AlexNet", "Inception v3")
"""From the easiest to fool to the hardest."""


def harder(judge: str, than: str, sources: tuple[str, ...], by_its_own: bool) -> Claim:
    how = "by its own images" if by_its_own else "by images of the same source"
    pairs = [((judge, judge), (than, than))] if by_its_own else [((on, judge), (on, than)) for on in sources]
    return Claim(
        f"{than} is easier to fool than {judge}, {how}",
        "section 4.3",
        tuple(above("FGSM", first, second, "relative_accuracy") for first, second in pairs),
    )


def transfers(better: str, worse: str) -> Claim:
    judges = tuple(name for name in ORDER if name not in (better, worse))
    return Claim(
        f"Images made on {better} fool the others more than those made on {worse}",
        "section 4.3",
        tuple(above("FGSM", (worse, judge), (better, judge), "relative_accuracy") for judge in judges),
    )


NEXT = tuple(pairwise(ORDER))
CLAIMS = (
    *(harder(hard, easy, (), by_its_own=True) for easy, hard in NEXT),
    *(
        harder(hard, easy, tuple(name for name in ORDER if name not in (easy, hard)), by_its_own=False)
        for easy, hard in NEXT
    ),
    *(transfers("ResNet-50", worse) for worse in ("VGG-16", "AlexNet", "Inception v3")),
    *(transfers(better, "AlexNet") for better in ("VGG-16", "Inception v3")),
)


@register("s2snet-fig8")
def figure8() -> Experiment:
    """FGSM made on each of several classifiers, answered by the others."""
    return experiment(
        "fig8",
        "Figure 8: FGSM made on one classifier, answered by others",
        cells,
        panels=panels,
        claims=CLAIMS,
        minutes=3,
        scales=("smoke", "small", "paper"),
        roles=further,
        notes=(
            "Inception v3 is shown images of 224 pixels here, as the other three are. At scale small small-plain is "
            "adversarially trained.",
        ),
    )
