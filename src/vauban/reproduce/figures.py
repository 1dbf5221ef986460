"""Figures of an experiment: curves, pictures and dots, of the same crafts and cells as its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.reproduce.benchmark import Benchmark
from vauban.reproduce.declarations import Craft, Judge, TableCell

Averaged = Literal["MAD_avg", "roughness_avg"]
"""The metrics that average one of `vauban.metrics`."""


@dataclass(frozen=True)
class OperatingCurves:
    """P(D) for 0 <= D <= upto, the share of images fooled within L2 distance D: a curve for all runs of an attack."""

    title: str
    curves: Mapping[str, tuple[Craft, ...]]
    judge: Judge
    upto: float


@dataclass(frozen=True)
class Sweep:
    """A metric over a parameter: for each curve, values of the parameter and the cells measured there.

    In the place of a value of the parameter may stand a cell too: the number that was measured there is then the x.
    """

    title: str
    x_label: str
    y_label: str
    curves: Mapping[str, Sequence[tuple[float | TableCell, TableCell]]]


@dataclass(frozen=True)
class WorstCases:
    """The `count` images on which the attack `by` is farthest, and what every attack makes of them.

    magnified: beside each image its `metrics.magnify` instead of its change, and that of the original.
    """

    title: str
    crafts: Mapping[str, tuple[Craft, ...]]
    judge: Judge
    by: str
    count: int = 5
    magnified: bool = False


@dataclass(frozen=True)
class FirstImages:
    """The first `count` originals, and below them what each craft made of them with the first seed.

    crafts: by name, with the judge that tells which of the images are fooled.
    """

    title: str
    crafts: Mapping[str, tuple[Craft, Judge]]
    count: int = 10


@dataclass(frozen=True)
class NetworkPictures:
    """Pictures that are drawn from networks and saved images.

    Attributes:
        title: Above them.
        roles: The networks that are drawn from.
        crafts: Saved images by name, with the first seed.
        judge: Whose right answers on the originals are shown.
        first, count: Which of the images that the judge labels right: `count` from the one at place `first` on.
        draw: Networks by role, the batch, and the saved images by name, to an image `(1 or 3, height, width)` and its
            caption.
    """

    title: str
    roles: tuple[str, ...]
    crafts: Mapping[str, Craft]
    judge: Judge
    draw: Callable[[Mapping[str, nn.Module], Batch, Mapping[str, Tensor]], tuple[Tensor, str]]
    first: int = 0
    count: int = 1


@dataclass(frozen=True)
class ComputedPicture:
    """A picture that is computed, not measured: `draw` gives an image `(3, height, width)` and its caption."""

    title: str
    draw: Callable[[], tuple[Tensor, str]]


@dataclass(frozen=True)
class Series:
    """A line of a figure."""

    name: str
    x: list[float]
    y: list[float]


@dataclass(frozen=True)
class ComputedFigure:
    """A figure that is computed, not measured."""

    title: str
    caption: str
    x_label: str
    y_label: str
    draw: Callable[[], Sequence[Series]]


@dataclass(frozen=True)
class Scatter:
    """Attack `y` against attack `x`, each a name and all its runs: a dot for every image that both fool with every seed.

    metric: whose value of each image, the mean over seeds, is drawn.
    """

    title: str
    x: tuple[str, tuple[Craft, ...]]
    y: tuple[str, tuple[Craft, ...]]
    judge: Judge
    x_label: str
    y_label: str
    metric: Averaged = "MAD_avg"


@dataclass(frozen=True)
class Matrix:
    """Rates in rows and columns: what is made of each network, answered by each.

    sides: what the rows are, and what the columns are. rows: by name, a cell for each of the columns.
    """

    title: str
    sides: tuple[str, str]
    columns: Sequence[str]
    rows: Mapping[str, Sequence[TableCell]]


Panel = (
    OperatingCurves
    | Sweep
    | WorstCases
    | FirstImages
    | NetworkPictures
    | ComputedFigure
    | ComputedPicture
    | Scatter
    | Matrix
    | Benchmark
)
