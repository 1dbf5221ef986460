"""The panels of an experiment: which cells they need, and the figures and pictures that follow from what was judged."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.evaluate.batch import png
from vauban.evaluate.magnified import grey
from vauban.experiments.bench import Images
from vauban.experiments.crafting import reload
from vauban.experiments.distances import Array, Attained, Judged, attained, operating
from vauban.experiments.pictures import magnified, montage
from vauban.experiments.plan import Plan
from vauban.experiments.results import measured
from vauban.experiments.runner import saved_part
from vauban.experiments.spec import Cell, Craft, Drawing, Judge, Operating, Panel, Series, Sweep, Worst
from vauban.metrics import mad, magnify


@dataclass(frozen=True)
class Drawn:
    """figures and pictures as `reproduction.json` holds them."""

    figures: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Taken:
    """A cell, where the plan has it, and what was judged."""

    cell: Cell
    place: int
    judged: Judged

    @property
    def attained(self) -> Attained:
        assert self.cell.craft is not None
        return attained(self.judged, self.cell.craft.targeted)


def needed(panels: Sequence[Panel]) -> list[Cell]:
    """The cells that the panels are drawn from, in the order in which `drawn` takes them."""
    return [cell for panel in panels for cell in _cells(panel)]


def _cells(panel: Panel) -> list[Cell]:
    if isinstance(panel, Operating):
        return [_runs(name, crafts, panel.judge) for name, crafts in panel.curves.items()]
    if isinstance(panel, Worst):
        if panel.by not in panel.crafts:
            raise ContractError(f"expected by= to be one of {', '.join(panel.crafts)}, got {panel.by!r}")
        return [_runs(name, crafts, panel.judge) for name, crafts in panel.crafts.items()]
    if isinstance(panel, Sweep):
        return [cell for points in panel.curves.values() for _, cell in points]
    return []


def _runs(name: str, crafts: tuple[Craft, ...], judge: Judge) -> Cell:
    if not crafts:
        raise ContractError(f"expected at least one craft for {name!r}, got none")
    return Cell(crafts[0], judge, "P_suc", {}, name, crafts[1:])


def drawn(panels: Sequence[Panel], work: Plan, rows: Sequence[Judged], first: int) -> Drawn:
    """Figures and pictures; rows: what each cell of the plan was judged to be, those of the panels from `first` on."""
    cells = enumerate(needed(panels), first)
    taken = iter([_Taken(cell, place, rows[place]) for place, cell in cells])
    found = Drawn()
    for panel in panels:
        if isinstance(panel, Worst):
            found.pictures.append(_worst(panel, work, {name: next(taken) for name in panel.crafts}))
        else:
            found.figures.append(_figure(panel, taken))
    return found


def _figure(panel: Operating | Sweep | Drawing, taken: Iterator[_Taken]) -> dict[str, Any]:
    if isinstance(panel, Operating):
        return _operating(panel, taken)
    if isinstance(panel, Sweep):
        return _sweep(panel, taken)
    return _told(panel.title, panel.caption, panel.x_label, panel.y_label, panel.draw())


def _told(
    title: str, caption: str, x_label: str, y_label: str, series: Sequence[Series], step: bool = False
) -> dict[str, Any]:
    lines = [{"name": one.name, "x": one.x, "y": one.y} for one in series]
    return {"title": title, "caption": caption, "x_label": x_label, "y_label": y_label, "step": step, "series": lines}


def _operating(panel: Operating, taken: Iterator[_Taken]) -> dict[str, Any]:
    found = {name: next(taken).attained for name in panel.curves}
    n = max((len(one.index) for one in found.values()), default=0)
    judge = ", ".join(panel.judge.networks)
    caption = (
        f"P(D), the share of the {n} images that {judge} labels right before the attack which are fooled within the L2 "
        "distance D (pixels in [0,1])."
    )
    series = [Series(name, *operating(one, panel.upto)) for name, one in found.items()]
    return _told(panel.title, caption, "D", "P(D)", series, step=True)


def _sweep(panel: Sweep, taken: Iterator[_Taken]) -> dict[str, Any]:
    series, holes = [], 0
    for name, points in panel.curves.items():
        x, y = [], []
        for at, _ in points:
            one = next(taken)
            values = measured(one.cell, one.judged)[0].per_seed
            if values:  # a distance that no image or less than half of them has is a gap in the line
                x.append(float(at))
                y.append(float(np.mean(values)))
            else:
                holes += 1
        series.append(Series(name, x, y))
    caption = f"{holes} points have no finite value and are left out." if holes else ""
    return _told(panel.title, caption, panel.x_label, panel.y_label, series)


def _worst(panel: Worst, work: Plan, taken: dict[str, _Taken]) -> dict[str, str]:
    """The original of each image in the first row, then for each attack its image and its change; of the first seed."""
    reached = {name: one.attained for name, one in taken.items()}
    by = reached[panel.by]
    fooled = np.flatnonzero(by.fooled[0])
    columns = fooled[np.argsort(-by.distance[0][fooled], kind="stable")][: panel.count]
    index = torch.from_numpy(by.index[columns])
    if not len(index):
        return {"title": panel.title, "caption": f"{panel.by} fools no image.", "png": _encoded(torch.zeros(1, 8, 8))}
    clean = work.bench.data.batch(index).x
    rows, told = [clean, grey(magnify(clean))] if panel.magnified else [clean], []
    for name, one in taken.items():
        runs = work.asked[one.place].images[0]
        chosen = reached[name].run[0][columns]
        image = torch.stack([_saved(work, runs[k], int(i)) for k, i in zip(chosen, index, strict=True)])
        beside = grey(magnify(image)) if panel.magnified else torch.cat([magnified(c[None]) for c in image - clean])
        rows += [image, beside]
        told.append(f"{name}: {_sizes(reached[name].distance[0][columns], mad(clean, image).tolist())}")
    shown = "changes, grey for none, black and white for the largest of each image"
    if panel.magnified:
        shown = "same magnified (grey: 0), as below the originals"
    caption = (
        f"The images on which {panel.by} is farthest. First row: the originals; then, for each attack, its images and the "
        f"{shown}. L2 distances (MAD): {'; '.join(told)}."
    )
    return {"title": panel.title, "caption": caption, "png": _encoded(montage(rows))}


def _sizes(distance: Array, seen: Sequence[float]) -> str:
    pairs = zip(distance, seen, strict=True)
    return ", ".join(f"{d:.3g} ({m:.3g})" if np.isfinite(d) else "not fooled" for d, m in pairs)


def _saved(work: Plan, images: Images, position: int) -> Tensor:
    part, offset = divmod(position, work.bench.batch_size)
    return reload(saved_part(work.bench, images, part)["image"].to_pylist()[offset : offset + 1])[0]


def _encoded(image: Tensor) -> str:
    return base64.b64encode(png(image)).decode()
