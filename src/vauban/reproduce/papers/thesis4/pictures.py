"""Figures 4.1 to 4.3: the worst cases of every attack as pictures, with what they change made visible."""

from __future__ import annotations

from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel, WorstCases
from vauban.reproduce.papers.thesis4.attacks import PAPER, crafts, domain, universal
from vauban.reproduce.papers.thesis4.setting import (
    AMBIGUOUS,
    FREE,
    NOTES,
    SOURCE,
    V3,
    attained,
    digits,
    on,
    photographs,
    through,
)
from vauban.reproduce.registry import register

METRICS = ("P_suc", "D_avg_L2", "roughness_avg")
UNIVERSAL = (
    "The universal perturbation is one for all images, L-infinity 10/255 as its paper has it on ImageNet, fitted on other "
    "images: at most 10 passes over them, 2 at scale smoke, or until 80 % of them are fooled.",
)
Runs = dict[str, tuple[Craft, ...]]


def every(scale: Scale, role: str) -> Runs:
    """The runs of each attack of the tables."""
    return {name: crafts(name, domain(scale), through(role)) for name in PAPER}


def with_universal(scale: Scale) -> Runs:
    """The attacks of Figure 4.1, the universal perturbation where the figure has it, and qPGD2."""
    made = every(scale, V3)
    return {name: made.get(name) or universal(scale, through(V3)) for name in (*PAPER[:3], "universal", *PAPER[3:])}


def cells_of(made: Runs, role: str) -> list[TableCell]:
    """What the pictures are taken from: distance and roughness of each attack."""
    return [attained(runs, on(role), metric, name) for name, runs in made.items() for metric in METRICS]


def worst(made: Runs, role: str, title: str, by: str, count: int, magnified: bool = False) -> WorstCases:
    return WorstCases(title, made, on(role), by, count, magnified)


def each_worst(scale: Scale) -> list[Panel]:
    return [worst(every(scale, "C4"), "C4", f"Where {by} needs the largest change", by, 1) for by in PAPER]


def magnified(scale: Scale) -> list[Panel]:
    return [worst(with_universal(scale), V3, "Magnified, where C&W needs the largest change", "C&W", 2, magnified=True)]


def smooth_worst(scale: Scale) -> list[Panel]:
    return [worst(every(scale, V3), V3, f"Where {by} needs the largest change", by, 3) for by in ("sC&W", "qPGD2")]


@register("thesis-fig4.1")
def figure1() -> Experiment:
    """Magnified adversarial images of every attack."""
    return Experiment(
        "thesis-fig4.1",
        "Figure 4.1: adversarial images under magnification",
        SOURCE,
        lambda scale: cells_of(with_universal(scale), V3),
        photographs(small=42, paper=90000, cifar=10),
        None,
        ambiguous=AMBIGUOUS + "; the image shown is one, chosen by its author",
        notes=(*NOTES, *UNIVERSAL, *FREE),
        panels=magnified,
    )


@register("thesis-fig4.2")
def figure2() -> Experiment:
    """Worst cases on MNIST."""
    return Experiment(
        "thesis-fig4.2",
        "Figure 4.2: the farthest adversarial image of each attack on MNIST",
        SOURCE,
        lambda scale: cells_of(every(scale, "C4"), "C4"),
        digits(small=17, paper=850),
        None,
        ambiguous=AMBIGUOUS,
        notes=(*NOTES, *FREE),
        panels=each_worst,
    )


@register("thesis-fig4.3")
def figure3() -> Experiment:
    """Worst cases on ImageNet."""
    return Experiment(
        "thesis-fig4.3",
        "Figure 4.3: the farthest adversarial images of the smooth attacks on ImageNet",
        SOURCE,
        lambda scale: cells_of(every(scale, V3), V3),
        photographs(small=35, paper=75000, cifar=8),
        None,
        ambiguous=AMBIGUOUS + "; two of the three images shown were chosen for other reasons than their distortion",
        notes=(*NOTES, *FREE),
        panels=smooth_worst,
    )
