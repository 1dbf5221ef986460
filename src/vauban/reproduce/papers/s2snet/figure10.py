"""Figure 10: attacked images, their reconstructions and what is left of the perturbation; so Figures 11 to 16."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.metrics.of_network.shown_image import ShownImage
from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import NetworkPictures, Panel
from vauban.reproduce.papers.s2snet.attacks import ATTACKS, SHOWN, craft
from vauban.reproduce.papers.s2snet.networks import BARE, TUNED
from vauban.reproduce.papers.s2snet.setting import clean, experiment
from vauban.reproduce.pictures import montage
from vauban.reproduce.registry import register

FIGURES = (10, 11, 12, 13, 14, 15, 16)
"""One image each, in the order in which f labels them right."""


def shown(scale: Scale) -> dict[str, Craft]:
    """Three attacks by two sources of gradients."""
    return {f"{name} on {on}": craft(name, SHOWN[name], scale, on) for name in ATTACKS for on in (BARE, TUNED)}


def equalised(change: Tensor) -> Tensor:
    """A change with a flat histogram: the share of components of its image below it, ties by half; grey for none.

    Args:
        change: `(batch, channel, height, width)`.
    """
    rows = change.flatten(1).contiguous()
    ordered = rows.sort(1).values
    below, upto = (torch.searchsorted(ordered, rows, right=right) for right in (False, True))
    shares: Tensor = (below + upto).to(change.dtype) / (2 * rows.shape[1])
    return shares.view_as(change)


def reconstructed(network: nn.Module, x: Tensor) -> Tensor:
    """What the network is shown of images below its defences."""
    with torch.no_grad():
        image: Tensor = ShownImage(network)(x).view_as(x)
    return image


def draw(networks: Mapping[str, nn.Module], batch: Batch, made: Mapping[str, Tensor]) -> tuple[Tensor, str]:
    """The grid: columns are the clean image and the attacked ones, rows the image, its change, both reconstructed."""
    images = torch.cat([batch.x, *made.values()])
    reconstructions = reconstructed(networks[TUNED], images)
    rows = [images, equalised(images - images[:1]), reconstructions, equalised(reconstructions - reconstructions[:1])]
    return montage(rows), (
        f"Columns: clean, {', '.join(made)}. Rows: the image, its perturbation, its reconstruction by A_f, and what is "
        "left of the perturbation in the reconstruction; perturbations with a flat histogram, grey for none."
    )


def panels_of(number: int) -> Callable[[Scale], list[Panel]]:
    place = FIGURES.index(number)

    def panels(scale: Scale) -> list[Panel]:
        return [NetworkPictures(f"Image {place + 1}", (TUNED,), shown(scale), Judge((BARE,)), draw, first=place)]

    return panels


def cells(scale: Scale) -> list[TableCell]:
    return [clean(BARE), clean(TUNED)]


def register_figure(number: int) -> None:
    """Register the figure of one image."""

    def figure() -> Experiment:
        return experiment(
            f"fig{number}",
            f"Figure {number}: an image that f labels right, attacked and reconstructed",
            cells,
            panels=panels_of(number),
            minutes=5,
        )

    figure.__doc__ = f"Figure {number}: an attacked image and its reconstruction."
    register(f"s2snet-fig{number}")(figure)


for one in FIGURES:
    register_figure(one)
