"""One experiment per data set, each with the minutes that its own crafts take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vauban.reproduce.declarations import Craft, FitOnUse, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel
from vauban.reproduce.panels import needed
from vauban.reproduce.papers.thesis5.networks import CLEAN_SCALES, NINE, QUARTER, ROBUST_SCALES, SMOKE
from vauban.reproduce.papers.thesis5.setting import DATA, SOURCE, DataSetting
from vauban.reproduce.registry import register

Cells = Callable[[DataSetting, Scale], Sequence[TableCell]]
Panels = Callable[[DataSetting, Scale], Sequence[Panel]]
SIZES = {"mnist": 10000, "cifar10": 10000, "imagenet": 1000}
COST = {"mnist-c4": 0.35, "small-": 0.4, QUARTER.model: 1.3, NINE.model: 30.0, "squeezenet": 30.0, "timm": 350.0}
"""Milliseconds of a gradient of one image on two cores, by network; the last and the 9 convolutions are not measured."""
OPEN = (
    "the loss of BP, DDN and PGD2 is not stated; here the cross-entropy wherever it has a gradient, else the margin. The "
    "sets of eps are not printed: geometric here. C&W's initial constant is read as the weight of the loss"
)
NOTES = (
    "BP as printed: where the plane of case OUT is farther than the wanted distance, z is the plane's nearest point.",
    "Distances and successes are those of the saved image, read again.",
)


def timed(scale: Scale, cells: Sequence[TableCell], panels: Sequence[Panel]) -> Scale:
    """The scale with the minutes that its networks and all its different crafts take."""
    found = {craft for cell in cells for craft in crafts(cell)} | {craft for panel in panels for craft in shown(panel)}
    networks = [*scale.models.values(), *(recipe.model for recipe in scale.recipes.values())]
    cost = max(next(ms for name, ms in COST.items() if network.startswith(name)) for network in networks)
    spent = sum(gradients(craft.attack) for craft in found) * scale.images * cost / 60000
    return replace(scale, minutes=max(0.1, round(spent + sum(r.minutes for r in scale.recipes.values()), 1)))


def gradients(attack: Any) -> int:
    """The gradients per image of a run that nothing ends early."""
    passes = None if isinstance(attack, FitOnUse) else attack.passes
    return int(attack.steps) if not passes or not passes[1] else passes[1]


def crafts(cell: TableCell) -> Iterator[Craft]:
    if cell.craft is not None:
        yield cell.craft
    yield from cell.also


def shown(panel: Panel) -> Iterator[Craft]:
    """Every craft of a panel."""
    for cell in needed([panel]):
        yield from crafts(cell)


def each(
    number: str,
    title: str,
    cells: Cells,
    panels: Panels | None = None,
    *,
    csv: str = "",
    robust: bool = False,
    over: Sequence[DataSetting] = DATA,
    scales: Mapping[str, Mapping[str, Scale]] | None = None,
    ambiguous: str = OPEN,
) -> None:
    """Register `thesis-<number>` of one data set, or `thesis-<number>-<data set>` of several. csv: the packaged table
    without the data set's name; scales: by data set and scale, by default those of the clean or the robust networks."""
    table = scales or (ROBUST_SCALES if robust else CLEAN_SCALES)
    for here in over:
        single = len(over) == 1
        one(
            f"thesis-{number}" if single else f"thesis-{number}-{here.name}",
            f"{title}, {here.printed}",
            here,
            cells,
            panels,
            table[here.name],
            (csv if single else f"{csv}-{here.name}") + ".csv" if csv else None,
            ambiguous,
        )


def one(
    name: str,
    title: str,
    here: DataSetting,
    cells: Cells,
    panels: Panels | None,
    table: Mapping[str, Scale],
    csv: str | None,
    ambiguous: str = OPEN,
) -> None:
    """Register the experiment `name` of one data set; csv: the packaged table with its printed values."""

    def make() -> Experiment:
        scales = {
            key: timed(scale, cells(here, scale), panels(here, scale) if panels else ())
            for key, scale in {"smoke": SMOKE, **table}.items()
        }
        return Experiment(
            name,
            title,
            SOURCE,
            lambda scale: cells(here, scale),
            scales,
            csv,
            SIZES[here.name],
            ambiguous,
            NOTES,
            panels=None if panels is None else lambda scale: panels(here, scale),
        )

    make.__doc__ = f"{title}."
    register(name)(make)
