"""Figure 4.3: the ImageNet images that the smooth attacks on InceptionV3 change most, as every attack leaves them."""

from __future__ import annotations

from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.figures import Panel, WorstCases
from vauban.reproduce.papers.thesis4.networks import V3, photographs
from vauban.reproduce.papers.thesis4.setting import AMBIGUOUS, FREE, NOTES, SOURCE, on, paper_runs, worst_case_cells
from vauban.reproduce.registry import register


def cells(scale: Scale) -> list[TableCell]:
    return worst_case_cells(paper_runs(scale, V3), V3)


def panels(scale: Scale) -> list[Panel]:
    runs = paper_runs(scale, V3)
    return [WorstCases(f"Where {by} needs the largest change", runs, on(V3), by, count=3) for by in ("sC&W", "qPGD2")]


@register("thesis-fig4.3")
def figure3() -> Experiment:
    """Worst cases on ImageNet."""
    return Experiment(
        "thesis-fig4.3",
        "Figure 4.3: the farthest adversarial images of the smooth attacks on ImageNet",
        SOURCE,
        cells,
        photographs(small=35, paper=75000, cifar=8),
        None,
        ambiguous=(
            *AMBIGUOUS,
            Ambiguity("two of the three images shown were chosen for other reasons than their distortion"),
        ),
        notes=(*NOTES, *FREE),
        panels=panels,
    )
