"""Figure 3: accuracy of CNN and ResNet with ReLU and bounded ReLU under FGSM in the white box over epsilon, MNIST."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.efficient.attacks import EPSILONS
from vauban.reproduce.papers.efficient.networks import FOUR
from vauban.reproduce.papers.efficient.scales import four_network_scales
from vauban.reproduce.papers.efficient.setting import AMBIGUOUS, NOTES, SOURCE, curve
from vauban.reproduce.registry import register

BELOW = tuple(eps for eps in EPSILONS if eps <= 0.3)


def curves() -> dict[str, list[tuple[float, TableCell]]]:
    """A curve for each network."""
    return {role: curve("FGSM", role, role, EPSILONS, role) for role in FOUR}


def cells(scale: Scale) -> list[TableCell]:
    return [cell for points in curves().values() for _, cell in points]


def panels(scale: Scale) -> list[Panel]:
    return [Sweep("FGSM in the white box", "eps", "accuracy", curves())]


CLAIMS = (
    Claim(
        "The CNN with the bounded ReLU is the most accurate up to eps 0.3",
        "section 4.2",
        tuple(
            Larger(f"CNN+BRELU: FGSM, eps {eps:g}", f"{role}: FGSM, eps {eps:g}")
            for role in FOUR
            if role != "CNN+BRELU"
            for eps in BELOW
        ),
    ),
    Claim(
        "The ResNet does not sustain attacks better than the CNN",
        "section 4.2",
        tuple(
            Larger(f"CNN+{kind}: FGSM, eps {eps:g}", f"ResNet+{kind}: FGSM, eps {eps:g}")
            for kind in ("RELU", "BRELU")
            for eps in BELOW
        ),
    ),
)


@register("efficient-fig3")
def figure3() -> Experiment:
    """FGSM against CNN and ResNet with ReLU and bounded ReLU."""
    return Experiment(
        "efficient-fig3",
        "Figure 3: FGSM against CNN and ResNet with ReLU and bounded ReLU, MNIST",
        SOURCE,
        cells,
        four_network_scales(0.1),
        None,
        printed_n=10000,
        ambiguous=AMBIGUOUS,
        notes=NOTES,
        panels=panels,
        claims=CLAIMS,
    )
