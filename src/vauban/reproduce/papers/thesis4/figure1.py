"""Figure 4.1: adversarial images of every attack on InceptionV3, with what they change magnified."""

from __future__ import annotations

from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.figures import Panel, WorstCases
from vauban.reproduce.papers.thesis4.attacks import PAPER, Runs, universal
from vauban.reproduce.papers.thesis4.networks import V3, photographs
from vauban.reproduce.papers.thesis4.setting import (
    AMBIGUOUS,
    FREE,
    NOTES,
    SOURCE,
    on,
    paper_runs,
    through,
    worst_case_cells,
)
from vauban.reproduce.registry import register


def runs(scale: Scale) -> dict[str, Runs]:
    """The attacks of the figure, the universal perturbation in its place, and qPGD2."""
    by_attack = paper_runs(scale, V3) | {"universal": universal(scale, through(V3))}
    return {name: by_attack[name] for name in (*PAPER[:3], "universal", *PAPER[3:])}


def cells(scale: Scale) -> list[TableCell]:
    return worst_case_cells(runs(scale), V3)


def panels(scale: Scale) -> list[Panel]:
    title = "Magnified, where C&W needs the largest change"
    return [WorstCases(title, runs(scale), on(V3), by="C&W", count=2, magnified=True)]


@register("thesis-fig4.1")
def figure1() -> Experiment:
    """Magnified adversarial images of every attack."""
    return Experiment(
        "thesis-fig4.1",
        "Figure 4.1: adversarial images under magnification",
        SOURCE,
        cells,
        photographs(small=42, paper=90000, cifar=10),
        None,
        ambiguous=(*AMBIGUOUS, Ambiguity("the image shown is one, chosen by its author")),
        notes=(
            *NOTES,
            "The universal perturbation is one for all images, L-infinity 10/255 as its paper has it on ImageNet, fitted "
            "on other images: at most 10 passes over them, 2 at scale smoke, or until 80 % of them are fooled.",
            *FREE,
        ),
        panels=panels,
    )
