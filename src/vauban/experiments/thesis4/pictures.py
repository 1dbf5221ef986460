"""Figures 4.1 to 4.3: the worst cases of every attack as pictures, with what they change made visible."""

from __future__ import annotations

from vauban.experiments.registry import register
from vauban.experiments.spec import Cell, Experiment, Panel, Scale, Worst
from vauban.experiments.thesis4.attacks import PAPER, crafts, domain
from vauban.experiments.thesis4.setting import (
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

UNIVERSAL = "The figure's universal perturbation is left out: no such attack is registered."


def cells_for(scale: Scale, role: str) -> list[Cell]:
    """What the pictures are taken from: distance and roughness of each attack."""
    cells = []
    for name in PAPER:
        runs = crafts(name, domain(scale), through(role))
        cells += [attained(runs, on(role), metric, name) for metric in ("P_suc", "D_avg_L2", "roughness_avg")]
    return cells


def worst(scale: Scale, role: str, title: str, by: str, count: int, magnified: bool = False) -> Worst:
    made = {name: crafts(name, domain(scale), through(role)) for name in PAPER}
    return Worst(title, made, on(role), by, count, magnified)


def each_worst(scale: Scale) -> list[Panel]:
    return [worst(scale, "C4", f"Where {by} needs the largest change", by, 1) for by in PAPER]


def magnified(scale: Scale) -> list[Panel]:
    return [worst(scale, V3, "Magnified, where C&W needs the largest change", "C&W", 2, magnified=True)]


def smooth_worst(scale: Scale) -> list[Panel]:
    return [worst(scale, V3, f"Where {by} needs the largest change", by, 3) for by in ("sC&W", "qPGD2")]


@register("thesis-fig4.1")
def figure1() -> Experiment:
    """Magnified adversarial images of every attack."""
    return Experiment(
        "thesis-fig4.1", "Figure 4.1: adversarial images under magnification", SOURCE,
        lambda scale: cells_for(scale, V3), photographs(small=35, paper=75000, cifar=8), None,
        ambiguous=AMBIGUOUS + "; the image shown is one, chosen by its author", notes=(*NOTES, UNIVERSAL, *FREE),
        panels=magnified,
    )  # fmt: skip


@register("thesis-fig4.2")
def figure2() -> Experiment:
    """Worst cases on MNIST."""
    return Experiment(
        "thesis-fig4.2", "Figure 4.2: the farthest adversarial image of each attack on MNIST", SOURCE,
        lambda scale: cells_for(scale, "C4"), digits(small=17, paper=850), None, ambiguous=AMBIGUOUS,
        notes=(*NOTES, *FREE), panels=each_worst,
    )  # fmt: skip


@register("thesis-fig4.3")
def figure3() -> Experiment:
    """Worst cases on ImageNet."""
    return Experiment(
        "thesis-fig4.3", "Figure 4.3: the farthest adversarial images of the smooth attacks on ImageNet", SOURCE,
        lambda scale: cells_for(scale, V3), photographs(small=35, paper=75000, cifar=8), None,
        ambiguous=AMBIGUOUS + "; two of the three images shown were chosen for other reasons than their distortion",
        notes=(*NOTES, *FREE), panels=smooth_worst,
    )  # fmt: skip
