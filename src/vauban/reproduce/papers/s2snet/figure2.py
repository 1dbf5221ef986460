"""Figure 2: gradient magnitudes of the five systems as pictures."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.metrics import gradient_magnitude
from vauban.metrics.of_network.gradient_similarity import system_gradient
from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import NetworkPictures, Panel
from vauban.reproduce.papers.s2snet.networks import BARE, CHAIN, SYSTEMS, base_of
from vauban.reproduce.papers.s2snet.setting import clean, experiment
from vauban.reproduce.pictures import montage
from vauban.reproduce.registry import register

SHOWN = 6


def draw(networks: Mapping[str, nn.Module], batch: Batch, made: Mapping[str, Tensor]) -> tuple[Tensor, str]:
    """The images, and below them the gradient magnitudes of each system."""
    gradients = [system_gradient(networks[CHAIN], system, batch.x, batch.y) for system in SYSTEMS.values()]
    rows = [gradient_magnitude(g).expand(-1, batch.x.shape[1], -1, -1).to(batch.x.dtype) for g in gradients]
    return montage([batch.x, *rows]), (
        f"Images that f labels right, and the gradient magnitudes, scaled to [0,1] in each, of {', '.join(SYSTEMS)}, from "
        "top to bottom."
    )


def panels(scale: Scale) -> list[Panel]:
    return [
        NetworkPictures(
            "Gradient magnitudes", (CHAIN,), {}, Judge((BARE,)), draw, count=1 if base_of(scale).few else SHOWN
        )
    ]


def cells(scale: Scale) -> list[TableCell]:
    return [clean(BARE)]


@register("s2snet-fig2")
def figure2() -> Experiment:
    """Gradient magnitudes of the five systems as pictures."""
    return experiment("fig2", "Figure 2: gradient magnitudes", cells, panels=panels, minutes=1)
