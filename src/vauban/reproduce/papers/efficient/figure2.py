"""Figure 2: boundaries and confidence of a small network trained on two toy sets with one point added to each original."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.vat import VAT
from vauban.attacks.minimal.jsma import JSMA
from vauban.core.losses import cross_entropy
from vauban.core.norms import L2
from vauban.core.rng import seeded
from vauban.data import Dataset
from vauban.evaluate.train import train
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.figures import ComputedPicture, Panel
from vauban.reproduce.papers.efficient.setting import SOURCE
from vauban.reproduce.registry import register
from vauban.training.augmentation.epoch_adversarial import EpochAdversarial
from vauban.training.augmentation.noise import GaussianAugmentation
from vauban.training.objectives.standard import StandardTraining
from vauban.training.recipe import RecipePart
from vauban.words import data as datasets

UNITS = {"circles": 3.0, "moons": 4.0}
"""Units of each set's own drawing, in which its circles have radius 1, along a side of the unit square."""
SIDE = 160
"""Pixels of a drawn square."""
COLOURS = torch.tensor([[0.13, 0.40, 0.67], [0.70, 0.09, 0.17]])
"""Of the two classes."""
LEVELS = (0.6, 0.7, 0.8, 0.9, 0.99)
"""Of the confidence, drawn as contours."""
SIZES = {"smoke": (40, 2, 0.1), "small": (300, 150, 1.0), "paper": (1000, 300, 4.0)}
"""Points, epochs and expected minutes by scale."""
DRAWN = {
    name: Scale(
        "circles/test:n=2", {}, 2, (0,), minutes, "same", f"{points} points, {epochs} epochs: computed, not measured"
    )
    for name, (points, epochs, minutes) in SIZES.items()
}


def added(name: str) -> Mapping[str, RecipePart]:
    """What is added to each point of a toy set, by name; all numbers are in units of the set's own drawing."""
    unit = 1 / UNITS[name]
    noise = GaussianAugmentation(sigma=0.3 * unit, n=1)
    return {
        "nothing": StandardTraining(),
        "FGSM, L2": EpochAdversarial(FGSM(L2(0.3 * unit), loss=cross_entropy), first=True),
        "VAT": EpochAdversarial(VAT(L2(0.3 * unit)), first=True),
        "JSMA": EpochAdversarial(JSMA(10, theta=0.1 * unit, gamma=1.0), first=True),
        "uniform": GaussianAugmentation(sigma=0.3 * unit, n=1, noise="uniform"),
        "Gaussian": noise,
    }


def network() -> nn.Module:
    """Two dense hidden layers with ReLU; their widths are not printed."""
    with seeded(0, "toy", device=torch.device("cpu")):
        return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))


def grid(side: int) -> Tensor:
    """The centres of the pixels of the unit square, row by row from the top, `(side * side, 2)`."""
    at = (torch.arange(side) + 0.5) / side
    second, first = torch.meshgrid(at.flip(0), at, indexing="ij")
    return torch.stack([first, second], 2).view(-1, 2)


def edges(field: Tensor) -> Tensor:
    """Where a bool field `(side, side)` changes from one pixel to the next one right or below."""
    changed = torch.zeros_like(field)
    changed[:, :-1] |= field[:, 1:] != field[:, :-1]
    changed[:-1] |= field[1:] != field[:-1]
    return changed


def field(trained: nn.Module, points: Dataset, side: int) -> Tensor:
    """Confidence as colour, contours of LEVELS in grey, the boundary in black, the points darker, `(3, side, side)`."""
    with torch.no_grad():
        p = trained(grid(side)).softmax(1).view(side, side, 2)
    confidence, label = p.max(2)
    strength = ((confidence - 0.5) * 1.2).unsqueeze(2)
    image: Tensor = 1 - strength * (1 - COLOURS[label])
    for level in LEVELS:
        image[edges(confidence >= level)] = 0.45
    image[edges(label == 1)] = 0.0
    batch = points.all()
    column = (batch.x[:, 0] * side).long().clamp(0, side - 1)
    row = ((1 - batch.x[:, 1]) * side).long().clamp(0, side - 1)
    image[row, column] = 0.6 * COLOURS[batch.y]
    return image.permute(2, 0, 1)


def slope(trained: nn.Module, x: Tensor, y: Tensor) -> float:
    """The mean length of the gradient of the cross-entropy in the point."""
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(nn.functional.cross_entropy(trained(x), y, reduction="sum"), x)
    return float(g.norm(dim=1).mean())


def draw(name: str, points: int, epochs: int) -> tuple[Tensor, str]:
    """One square for each way of adding points, from left to right, and what each network answers on other points."""
    data, test = (datasets.load(f"{name}/{split}:n={points}") for split in ("train", "test"))
    squares, told = [], []
    for added_name, part in added(name).items():
        trained = train(network(), data, recipe=part, epochs=epochs, batch=32, lr=5e-3, holdout=0).network
        batch = test.all()
        with torch.no_grad():
            right = (trained(batch.x).argmax(1) == batch.y).double().mean()
        squares.append(torch.nn.functional.pad(field(trained, data, SIDE), (2, 2, 2, 2), value=1.0))
        told.append(
            f"{added_name}: accuracy {float(right):.3f}, mean slope of the loss {slope(trained, batch.x, batch.y):.3g}"
        )
    caption = (
        "Colour is the class and its confidence, grey lines are confidence "
        f"{', '.join(map(str, LEVELS))}, black is the boundary, dots are the originals. From left to right, added to each "
        f"point, and on {points} other points: {'; '.join(told)}."
    )
    return torch.cat(squares, 2), caption


def panels(scale: Scale) -> list[Panel]:
    points, epochs, _ = SIZES[next(name for name, one in DRAWN.items() if one == scale)]
    titles = {"circles": "Concentric circles", "moons": "Half-moons"}
    return [ComputedPicture(title, partial(draw, name, points, epochs)) for name, title in titles.items()]


def cells(scale: Scale) -> list[TableCell]:
    """A drawing has no cells."""
    return []


@register("efficient-fig2")
def figure2() -> Experiment:
    """Boundaries and confidence on toy sets, one point added to each original."""
    return Experiment(
        "efficient-fig2",
        "Figure 2: boundaries and confidence on toy sets, by what is added to each point",
        SOURCE,
        cells,
        DRAWN,
        None,
        ambiguous=(
            Ambiguity("the widths of the network, the epochs and the domain of the toy sets are not printed"),
            Ambiguity("the uniform distribution has no width: here the Gaussian's variance"),
        ),
        notes=(
            "Noise and radii are 0.3 in units in which the large circle has radius 1; the sets lie in the unit square.",
            "Adversarial points are made anew before each epoch.",
        ),
        panels=panels,
    )
