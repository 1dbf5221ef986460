"""Figure 1: minimal perturbations that fool each defence, on the first images of MNIST."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import FirstImages, Panel
from vauban.reproduce.papers.efficient.scales import names_of, variant_scales
from vauban.reproduce.papers.efficient.setting import AMBIGUOUS, NOTES, SOURCE, minimal
from vauban.reproduce.registry import register


def label(name: str) -> str:
    return f"{name}, minimal FGSM: mean L2 distance"


CLAIMS = (
    Claim(
        "With the defences the attack becomes visually detectable: it needs larger changes than on the CNN",
        "Figure 1",
        tuple(Larger(label(name), label("CNN")) for name in ("GDA+RELU", "GDA+BRELU")),
        "in mean L2 distance, over all images of the scale",
    ),
)


def cells(scale: Scale) -> list[TableCell]:
    """The mean distance of the minimal FGSM on each variant."""
    return [TableCell(minimal(scale, name), Judge((name,)), "D_avg_L2", {}, label(name)) for name in names_of(scale)]


def panels(scale: Scale) -> list[Panel]:
    crafts = {name: (minimal(scale, name), Judge((name,))) for name in names_of(scale)}
    return [FirstImages("Minimal FGSM on the first ten images", crafts)]


@register("efficient-fig1")
def figure1() -> Experiment:
    """Minimal perturbations on the first ten images of MNIST."""
    return Experiment(
        "efficient-fig1",
        "Figure 1: minimal perturbations that fool each defence, MNIST",
        SOURCE,
        cells,
        variant_scales("mnist", 1.0),
        None,
        printed_n=10,
        ambiguous=AMBIGUOUS,
        notes=NOTES,
        panels=panels,
        claims=CLAIMS,
    )
