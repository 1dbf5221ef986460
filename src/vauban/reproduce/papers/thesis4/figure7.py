"""Figure 4.7: C&W and sC&W on InceptionV3 against InceptionV3 behind a bilateral filter, by distance."""

from __future__ import annotations

from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import OperatingCurves, Panel
from vauban.reproduce.papers.thesis4.attacks import PENALISED, at_distortion, parameters_of
from vauban.reproduce.papers.thesis4.networks import V3, photographs
from vauban.reproduce.papers.thesis4.setting import AMBIGUOUS, FILTER, FREE, NOTES, SOURCE, attained, on, through
from vauban.reproduce.printed import rows_of
from vauban.reproduce.registry import register

CSV = "thesis-fig4.7.csv"


def cells(scale: Scale) -> list[TableCell]:
    parameters, judge = parameters_of(scale), on(V3, FILTER)
    cells = []
    for row in rows_of(CSV):
        runs = at_distortion(row["attack"], 5, parameters, through(V3))
        label = f"{row['attack']} on {V3}, bilateral filter, D = 5"
        cells.append(attained(runs, judge, "P_upp", label, row, at=5 * parameters.unit))
    for name in PENALISED:
        runs = at_distortion(name, 5, parameters, through(V3, FILTER))
        label = f"{name} through the bilateral filter, D = 5"
        cells.append(attained(runs, judge, "P_upp", label, at=5 * parameters.unit))
    return cells


def panels(scale: Scale) -> list[Panel]:
    parameters = parameters_of(scale)
    curves = {name: at_distortion(name, 5, parameters, through(V3)) for name in PENALISED}
    curves |= {
        f"{name} through the filter": at_distortion(name, 5, parameters, through(V3, FILTER)) for name in PENALISED
    }
    return [OperatingCurves("P(D) behind the bilateral filter", curves, on(V3, FILTER), 20 * parameters.unit)]


@register("thesis-fig4.7")
def figure7() -> Experiment:
    """C&W and sC&W against the bilateral filter, by distance."""
    return Experiment(
        "thesis-fig4.7",
        "Figure 4.7: C&W and sC&W under bilateral transfer",
        SOURCE,
        cells,
        photographs(small=30, paper=50000, cifar=4),
        CSV,
        ambiguous=AMBIGUOUS,
        notes=(*NOTES, "On smaller images D = 5 is scaled with the side (227: 3.80, 32: 0.54).", *FREE),
        panels=panels,
    )
