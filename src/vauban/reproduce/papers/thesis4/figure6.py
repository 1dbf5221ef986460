"""Figure 4.6: P(D) of four attacks on InceptionV3 and ResNetV2-50; beyond it DDN and BP, plain and smooth."""

from __future__ import annotations

from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.thesis4.networks import RESNET, V3, photographs
from vauban.reproduce.papers.thesis4.setting import AMBIGUOUS, FREE, NOTES, SOURCE, operating_cells, operating_panels
from vauban.reproduce.registry import register


@register("thesis-fig4.6")
def figure6() -> Experiment:
    """Operating characteristics on ImageNet, two networks."""
    return Experiment(
        "thesis-fig4.6",
        "Figure 4.6: P(D) on ImageNet, InceptionV3 and ResNetV2-50",
        SOURCE,
        operating_cells,
        photographs(small=45, paper=200000, roles=(V3, RESNET), cifar=20),
        None,
        ambiguous=AMBIGUOUS,
        notes=(
            *NOTES,
            "Distances are cut at 15 on the paper's images, in proportion to the side on smaller ones.",
            *FREE,
        ),
        panels=operating_panels,
    )
