"""Shared by the tables and figures of chapter 5: cells, comparisons of all attacks, an experiment per data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vauban.reproduce.declarations import Craft, FitOnUse, Judge, Scale, TableCell
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.figures import OperatingCurves, Panel
from vauban.reproduce.panels import needed
from vauban.reproduce.papers.thesis5.attacks import DATA, FURTHER, DataSetting, Runs, compared, crafts
from vauban.reproduce.papers.thesis5.networks import CLEAN_SCALES, MILLISECONDS, SMOKE
from vauban.reproduce.printed import rows_of
from vauban.reproduce.registry import register

SOURCE = "H. Zhang, Deep learning in adversarial context, thesis, Rennes 2021, chapter 5"
AMBIGUOUS = (
    Ambiguity(
        "the loss of BP, DDN and PGD2 is not stated; here the cross-entropy wherever it has a gradient, else the margin",
        {"attack": "^(BP|DDN|PGD2)"},
    ),
    Ambiguity("the sets of eps are not printed: geometric here", {"attack": "^(FGSM|I-FGSM|PGD2)"}),
    Ambiguity("C&W's initial constant is read as the weight of the loss", {"attack": "^C&W"}),
)
NOTES = (
    "BP as printed: where the plane of case OUT is farther than the wanted distance, z is the plane's nearest point.",
    "Distances and successes are those of the saved image, read again.",
)
PRINTED_N = {"mnist": 10000, "cifar10": 10000, "imagenet": 1000}
BUDGETS = (20, 100)
"""Numbers of gradients of the tables."""
DISTANCES = ("P_suc", "D_avg_L2", "P_upp", "D_median_L2")

Row = Mapping[str, str]
Cells = Callable[[DataSetting, Scale], Sequence[TableCell]]
Panels = Callable[[DataSetting, Scale], Sequence[Panel]]
Scales = Mapping[str, Scale]


def measured(runs: Runs, judge: Judge, metric: str, label: str, data: DataSetting, key: Row | None = None) -> TableCell:
    """A cell over all runs of an attack; without a key the paper does not have it."""
    at = data.d_upp if metric == "P_upp" else None
    return TableCell(runs[0], judge, metric, key or {}, f"{label}: {metric}", runs[1:], at)


def beyond(
    runs: Runs, judge: Judge, label: str, data: DataSetting, metrics: Sequence[str] = DISTANCES
) -> list[TableCell]:
    """Cells without a printed row, one for each metric."""
    return [measured(runs, judge, metric, label, data) for metric in metrics]


def printed_cells(
    csv: str, data: DataSetting, craft: Callable[[Row], Runs], label: Callable[[Row], str], role: Callable[[Row], str]
) -> list[TableCell]:
    """A cell for every printed row of a table and, once for every attack, the median with failures as infinite.

    Args:
        csv: the packaged table.
        data: the data set.
        craft: from a row to the runs of its attack.
        label: from a row to what the report calls it.
        role: from a row to the network that judges.
    """
    rows = rows_of(csv)
    cells = [measured(craft(row), Judge((role(row),)), row["metric"], label(row), data, row) for row in rows]
    for row in rows:
        if row["metric"] == "P_suc":
            cells += beyond(craft(row), Judge((role(row),)), label(row), data, ["D_median_L2"])
    return cells


def comparison(
    csv: str, data: DataSetting, scale: Scale, role: str = "network", quantised: bool = True
) -> list[TableCell]:
    """The cells of Tables 5.2 to 5.4: the printed rows, the attacks beyond them, and the nearest of all per image.

    Args:
        csv: the packaged table.
        data: the data set.
        scale: how much is run.
        role: the network attacked.
        quantised: whether images are saved on 8 bits, see `attacks.crafts`.
    """
    judge = Judge((role,))

    def craft(row: Row) -> Runs:
        return crafts(row["attack"], row["iterations"], data, scale, role, quantised)

    def label(row: Row) -> str:
        return f"{row['attack']}, {row['iterations']} gradients"

    cells = printed_cells(csv, data, craft, label, lambda row: role)
    every_run = tuple(dict.fromkeys(run for cell in cells for run in crafts_of(cell)))
    for name in FURTHER:
        for n in BUDGETS:
            runs = crafts(name, str(n), data, scale, role, quantised)
            cells += beyond(runs, judge, f"{name}, {n} gradients", data)
            every_run += runs
    return cells + beyond(every_run, judge, "the nearest of all attacks per image", data)


def curve_cells(data: DataSetting, scale: Scale, role: str = "network", quantised: bool = True) -> list[TableCell]:
    """P_upp and the median distance of each curve of Figures 5.4 to 5.6."""
    cells = []
    for n in BUDGETS:
        for name, runs in compared(n, data, scale, role, quantised).items():
            cells += beyond(runs, Judge((role,)), f"{name}, {n} gradients", data, ["P_upp", "D_median_L2"])
    return cells


def curve_panels(data: DataSetting, scale: Scale, role: str = "network", quantised: bool = True) -> list[Panel]:
    """P(D) of Figures 5.4 to 5.6, a panel for each number of gradients."""
    return [
        OperatingCurves(
            f"P(D), {n} gradients", compared(n, data, scale, role, quantised), Judge((role,)), farthest(data, role)
        )
        for n in reversed(BUDGETS)
    ]


def farthest(data: DataSetting, role: str) -> float:
    """The distance at which operating curves end."""
    return data.d_upp * (3 if role == "robust" else 2)


def register_per_data_set(
    number: str,
    title: str,
    cells: Cells,
    panels: Panels | None = None,
    *,
    csv: str = "",
    data_sets: Sequence[DataSetting] = DATA,
    scales: Mapping[str, Scales] = CLEAN_SCALES,
    ambiguous: tuple[Ambiguity, ...] = AMBIGUOUS,
) -> None:
    """Register a table or figure over several data sets: an experiment `thesis-<number>-<data set>` for each.

    Args:
        number: as in the chapter.
        title: without the data set.
        cells: of a data set and a scale.
        panels: of a data set and a scale, None for a table.
        csv: the packaged table without `-<data set>.csv`, "" for none.
        data_sets: those that the table has.
        scales: by data set and by the scale's name; scale smoke is added where it is absent.
        ambiguous: what the text leaves open.
    """
    for data in data_sets:
        printed = f"{csv}-{data.name}.csv" if csv else None
        name, own_title = f"thesis-{number}-{data.name}", f"{title}, {data.printed}"
        register_experiment(name, own_title, data, cells, panels, scales[data.name], printed, ambiguous)


def register_experiment(
    name: str,
    title: str,
    data: DataSetting,
    cells: Cells,
    panels: Panels | None,
    scales: Scales,
    csv: str | None,
    ambiguous: tuple[Ambiguity, ...] = AMBIGUOUS,
) -> None:
    """Register the experiment `name` of one data set; csv: the packaged table with its printed values."""

    def experiment() -> Experiment:
        return Experiment(
            name,
            title,
            SOURCE,
            lambda scale: cells(data, scale),
            {
                key: timed(scale, cells(data, scale), panels(data, scale) if panels else ())
                for key, scale in {"smoke": SMOKE, **scales}.items()
            },
            csv,
            PRINTED_N[data.name],
            ambiguous,
            NOTES,
            panels=None if panels is None else lambda scale: panels(data, scale),
        )

    experiment.__doc__ = f"{title}."
    register(name)(experiment)


def timed(scale: Scale, cells: Sequence[TableCell], panels: Sequence[Panel]) -> Scale:
    """The scale with the minutes that its networks and all its different crafts take."""
    different = {craft for cell in [*cells, *needed(panels)] for craft in crafts_of(cell)}
    networks = [*scale.models.values(), *(recipe.model for recipe in scale.recipes.values())]
    dearest = max(next(ms for name, ms in MILLISECONDS.items() if spec.startswith(name)) for spec in networks)
    crafting = sum(gradients(craft.attack) for craft in different) * scale.images * dearest / 60000
    training = sum(recipe.minutes for recipe in scale.recipes.values())
    return replace(scale, minutes=max(0.1, round(crafting + training, 1)))


def crafts_of(cell: TableCell) -> Iterator[Craft]:
    """Every run of a cell."""
    if cell.craft is not None:
        yield cell.craft
    yield from cell.also


def gradients(attack: Any) -> int:
    """The gradients per image of a run that nothing ends early."""
    passes = None if isinstance(attack, FitOnUse) else attack.passes
    return int(attack.steps) if not passes or not passes[1] else passes[1]
