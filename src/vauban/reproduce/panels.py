"""The panels of an experiment: which cells they need, and the figures and pictures that follow from what was judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from vauban.core.errors import ContractError, plural
from vauban.reproduce.benchmark import Benchmark
from vauban.reproduce.benchmark_results import EntryResult
from vauban.reproduce.benchmark_tables import tables
from vauban.reproduce.declarations import RATES, Craft, Judge, TableCell
from vauban.reproduce.figures import (
    Averaged,
    ComputedFigure,
    ComputedPicture,
    FirstImages,
    Matrix,
    NetworkPictures,
    OperatingCurves,
    Panel,
    Scatter,
    Series,
    Sweep,
    WorstCases,
)
from vauban.reproduce.jobs import CraftJob
from vauban.reproduce.judged import Array, Attained, Judged, attained, common
from vauban.reproduce.pictures import computed, first_images, of_networks, worst
from vauban.reproduce.plan import Plan
from vauban.reproduce.results import NONE_COMMON, measured
from vauban.statistics.estimates import corners, operating_characteristic

MOST = 1000  # points of a curve


@dataclass(frozen=True)
class DrawnPanels:
    """figures, matrices, pictures and tables as `reproduction.json` holds them."""

    figures: list[dict[str, Any]] = field(default_factory=list)
    matrices: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[dict[str, str]] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Taken:
    """A cell, the images of its runs with the first seed, and what was judged."""

    cell: TableCell
    images: Sequence[CraftJob]
    judged: Judged

    @property
    def attained(self) -> Attained:
        assert self.cell.craft is not None
        return attained(self.judged, self.cell.craft.targeted)


def needed(panels: Sequence[Panel]) -> list[TableCell]:
    """The cells that the panels are drawn from, in the order in which `drawn` takes them."""
    return [cell for panel in panels for cell in _cells(panel)]


def _cells(panel: Panel) -> list[TableCell]:
    if isinstance(panel, Benchmark):
        return panel.cells
    if isinstance(panel, OperatingCurves):
        return [_runs(name, crafts, panel.judge) for name, crafts in panel.curves.items()]
    if isinstance(panel, WorstCases):
        if panel.by not in panel.crafts:
            raise ContractError(f"expected by= to be one of {', '.join(panel.crafts)}, got {panel.by!r}")
        return [_runs(name, crafts, panel.judge) for name, crafts in panel.crafts.items()]
    if isinstance(panel, FirstImages):
        return [_runs(name, (craft,), judge) for name, (craft, judge) in panel.crafts.items()]
    if isinstance(panel, Sweep):
        return [
            one for points in panel.curves.values() for point in points for one in point if isinstance(one, TableCell)
        ]
    if isinstance(panel, NetworkPictures):
        asked = [TableCell(None, Judge((role,)), "accuracy", {}, role) for role in panel.roles]
        made = [_runs(name, (craft,), panel.judge) for name, craft in panel.crafts.items()]
        return [TableCell(None, panel.judge, "accuracy", {}, panel.title), *asked, *made]
    if isinstance(panel, Matrix):
        if any(
            len(row) != len(panel.columns) or any(c.metric not in RATES for c in row) for row in panel.rows.values()
        ):
            raise ContractError(f"expected a rate for each of the {len(panel.columns)} columns in {panel.title!r}")
        return [cell for row in panel.rows.values() for cell in row]
    if isinstance(panel, Scatter):
        if panel.metric not in get_args(Averaged):
            raise ContractError(f"expected metric= to be one of {', '.join(get_args(Averaged))}, got {panel.metric!r}")
        return [_runs(name, crafts, panel.judge, panel.metric) for name, crafts in (panel.x, panel.y)]
    return []


def _runs(name: str, crafts: tuple[Craft, ...], judge: Judge, metric: str = "P_suc") -> TableCell:
    if not crafts:
        raise ContractError(f"expected at least one craft for {name!r}, got none")
    return TableCell(crafts[0], judge, metric, {}, name, crafts[1:])


def drawn(panels: Sequence[Panel], work: Plan, rows: Sequence[Judged | None], first: int) -> DrawnPanels:
    """Figures and pictures; rows: what each cell of the plan was judged to be, those of the panels from `first` on.

    A panel some of whose cells did not finish is left out.
    """
    drawn, place = DrawnPanels(), first
    for panel in panels:
        cells = list(enumerate(_cells(panel), place))
        place += len(cells)
        taken = iter(list(_taken(work, rows, cells)))
        if any(rows[at] is None for at, _ in cells):
            continue
        if isinstance(panel, WorstCases):
            ones = {name: next(taken) for name in panel.crafts}
            reached = {name: one.attained for name, one in ones.items()}
            drawn.pictures.append(worst(panel, work, reached, {name: one.images for name, one in ones.items()}))
        elif isinstance(panel, FirstImages):
            shown = {name: next(taken) for name in panel.crafts}
            drawn.pictures.append(
                first_images(panel, work, {name: (one.images[0], one.judged) for name, one in shown.items()})
            )
        elif isinstance(panel, NetworkPictures):
            right, rest = next(taken).judged, [next(taken) for _ in cells[1:]]
            made = dict(zip(panel.crafts, (one.images[0] for one in rest[len(panel.roles) :]), strict=True))
            drawn.pictures.append(of_networks(panel, work, right, made))
        elif isinstance(panel, ComputedPicture):
            drawn.pictures.append(computed(panel))
        elif isinstance(panel, Benchmark):
            told = [EntryResult.of(one, [next(taken).judged.runs[0][0] for _ in one.cells]) for one in panel.standings]
            drawn.tables.extend(tables(panel.title, told))
        elif isinstance(panel, Matrix):
            drawn.matrices.append(_matrix(panel, taken))
        else:
            drawn.figures.append(_figure(panel, taken))
    return drawn


def _taken(work: Plan, rows: Sequence[Judged | None], cells: Sequence[tuple[int, TableCell]]) -> Iterator[_Taken]:
    for at, cell in cells:
        judged = rows[at]
        if judged is not None:
            yield _Taken(cell, [job for job in work.cells[at].crafts[0] if job is not None], judged)


def _figure(panel: OperatingCurves | Sweep | ComputedFigure | Scatter, taken: Iterator[_Taken]) -> dict[str, Any]:
    if isinstance(panel, OperatingCurves):
        return _operating(panel, taken)
    if isinstance(panel, Sweep):
        return _sweep(panel, taken)
    if isinstance(panel, Scatter):
        return _scatter(panel, taken)
    return _lines(panel.title, panel.caption, panel.x_label, panel.y_label, panel.draw())


def _lines(
    title: str, caption: str, x_label: str, y_label: str, series: Sequence[Series], step: bool = False
) -> dict[str, Any]:
    return _told("lines", title, caption, x_label, y_label, series) | {"step": step}


def _told(kind: str, title: str, caption: str, x_label: str, y_label: str, series: Sequence[Series]) -> dict[str, Any]:
    told = [{"name": one.name, "x": one.x, "y": one.y} for one in series]
    return {"kind": kind, "title": title, "caption": caption, "x_label": x_label, "y_label": y_label, "series": told}


def _operating(panel: OperatingCurves, taken: Iterator[_Taken]) -> dict[str, Any]:
    curves = {name: next(taken).attained for name in panel.curves}
    n = max((len(one.index) for one in curves.values()), default=0)
    judge = ", ".join(panel.judge.networks)
    caption = (
        f"P(D), the share of the {plural(n, 'image')} that {judge} labels right before the attack which are fooled within "
        "the L2 distance D (pixels in [0,1])."
    )
    series = [Series(name, *operating(one, panel.upto)) for name, one in curves.items()]
    return _lines(panel.title, caption, "D", "P(D)", series, step=True)


def operating(reached: Attained, upto: float) -> tuple[list[float], list[float]]:
    """P(D) of (3.2) as the corners (D, P) of a step function on [0, upto], averaged over seeds."""
    if not reached.distance.size:
        return [0.0, upto], [0.0, 0.0]
    x = corners(reached.distance, MOST, upto)
    return x.tolist(), operating_characteristic(reached.distance, x).tolist()


def _sweep(panel: Sweep, taken: Iterator[_Taken]) -> dict[str, Any]:
    series, holes = [], 0
    for name, points in panel.curves.items():
        x, y = [], []
        for at, _ in points:
            place = _mean(next(taken)) if isinstance(at, TableCell) else float(at)
            value = _mean(next(taken))
            if place is None or value is None:  # a distance that no image or less than half of them has is a gap
                holes += 1
            else:
                x.append(place)
                y.append(value)
        series.append(Series(name, x, y))
    caption = f"{holes} points have no finite value and are left out." if holes else ""
    return _lines(panel.title, caption, panel.x_label, panel.y_label, series)


def _mean(taken: _Taken) -> float | None:
    """The number of a cell, the mean over seeds; None where it is not defined."""
    values = measured(taken.cell, taken.judged).per_seed
    return float(np.mean(values)) if values else None


def _matrix(panel: Matrix, taken: Iterator[_Taken]) -> dict[str, Any]:
    """The rates with the ends of their intervals, row by row."""
    rows = []
    for name, cells in panel.rows.items():
        told = [measured(one.cell, one.judged).estimate for one in (next(taken) for _ in cells)]
        values = [None if one is None else [one.value, one.interval.low, one.interval.high] for one in told]
        rows.append({"name": name, "values": values})
    return {"title": panel.title, "sides": list(panel.sides), "columns": list(panel.columns), "rows": rows}


def _scatter(panel: Scatter, taken: Iterator[_Taken]) -> dict[str, Any]:
    first, second = next(taken).attained, next(taken).attained
    x, y = (values.mean(0) for values in common(first, second))
    series = [Series("images", x.tolist(), y.tolist())]
    return _told("scatter", panel.title, _compared(panel, x, y, len(first.run)), panel.x_label, panel.y_label, series)


def _compared(panel: Scatter, x: Array, y: Array, seeds: int) -> str:
    """How many images lie on each side of the diagonal; those that both leave at 0 say nothing of the attacks."""
    if not len(x):
        return NONE_COMMON
    zero = (x == 0) & (y == 0)
    below, above, tied, nothing = (int(side.sum()) for side in (y < x, y > x, (x == y) & ~zero, zero))
    judge = ", ".join(panel.judge.networks)
    means = f", means over {plural(seeds, 'seed')}" if seeds > 1 else ""
    return (
        f"A dot for each image that {judge} labels right before the attack and both attacks fool: n = {len(x)}{means}. "
        f"Below the diagonal ({panel.y[0]} lower): {below}; above it ({panel.x[0]} lower): {above}; on it: {tied}; at the "
        f"origin, both exactly 0: {nothing}."
    )
