"""Figure 4.2: for each attack on C4 the MNIST image that it changes most, as every attack leaves it."""

from __future__ import annotations

from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel, WorstCases
from vauban.reproduce.papers.thesis4.attacks import PAPER
from vauban.reproduce.papers.thesis4.networks import C4, digits
from vauban.reproduce.papers.thesis4.setting import AMBIGUOUS, FREE, NOTES, SOURCE, on, paper_runs, worst_case_cells
from vauban.reproduce.registry import register


def cells(scale: Scale) -> list[TableCell]:
    return worst_case_cells(paper_runs(scale, C4), C4)


def panels(scale: Scale) -> list[Panel]:
    runs = paper_runs(scale, C4)
    return [WorstCases(f"Where {by} needs the largest change", runs, on(C4), by, count=1) for by in PAPER]


@register("thesis-fig4.2")
def figure2() -> Experiment:
    """Worst cases on MNIST."""
    return Experiment(
        "thesis-fig4.2",
        "Figure 4.2: the farthest adversarial image of each attack on MNIST",
        SOURCE,
        cells,
        digits(small=17, paper=850),
        None,
        ambiguous=AMBIGUOUS,
        notes=(*NOTES, *FREE),
        panels=panels,
    )
