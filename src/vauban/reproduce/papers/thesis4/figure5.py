"""Figure 4.5: P(D) of four attacks on C4 and MNIST; beyond it DDN and BP, plain and smooth."""

from __future__ import annotations

from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.thesis4.networks import digits
from vauban.reproduce.papers.thesis4.setting import AMBIGUOUS, FREE, NOTES, SOURCE, operating_cells, operating_panels
from vauban.reproduce.registry import register


@register("thesis-fig4.5")
def figure5() -> Experiment:
    """Operating characteristics on MNIST."""
    return Experiment(
        "thesis-fig4.5",
        "Figure 4.5: P(D) on MNIST",
        SOURCE,
        operating_cells,
        digits(small=18, paper=900),
        None,
        ambiguous=AMBIGUOUS,
        notes=(*NOTES, *FREE),
        panels=operating_panels,
    )
