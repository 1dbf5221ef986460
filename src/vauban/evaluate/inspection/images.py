"""Stored images of a cell checked again: against the data, their distances, the network's answers, the saved files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vauban.core.errors import VaubanError, plural
from vauban.data import Dataset
from vauban.evaluate.inspection.checked import Checked
from vauban.evaluate.inspection.pictures import PicturedRows, distances_agree, pictured_rows
from vauban.evaluate.inspection.verdicts import judged_again
from vauban.store.cell_store import CellStore
from vauban.store.schema import to_numpy

Array = np.ndarray[Any, Any]


def image_checks(run: Path, cell: CellStore, network: nn.Module, data: Dataset | None) -> Iterator[Checked]:
    """Checks of the stored images of a cell.

    Args:
        run: The run directory.
        cell: The cell.
        network: Its defended network.
        data: The data; None where they are not here.
    """
    facts, without = cell.meta(), 0
    for part in cell.each():
        about = f"{cell.path.relative_to(run).as_posix()}/parts/{part.index:05d}.parquet"
        columns = to_numpy(part.rows)
        try:
            rows = pictured_rows(columns)
            if rows is not None:
                yield from _part_checks(rows, facts, network, data, about)
                yield from _saved(run / "images" / cell.key, rows.columns)
        except VaubanError as error:
            yield Checked("images", about, "unchecked", str(error), len(part.rows))
            continue
        without += len(part.rows) - (0 if rows is None else len(rows.clean))
    if without:
        reason = "no pictures are stored: vectors have none, and of large images --save-images stores all"
        yield Checked("images", cell.path.relative_to(run).as_posix(), "unchecked", reason, without)


def _part_checks(
    rows: PicturedRows, facts: Mapping[str, Any], network: nn.Module, data: Dataset | None, about: str
) -> Iterator[Checked]:
    """The images of a part that agree, those that differ in each way, and those of which nothing is known."""
    again, ids = judged_again(rows, facts, network), rows.columns["id"]
    differing = again.differing(rows.columns)
    ways = {f"{name} is {{stored}}, judged again {{again}}": mask for name, mask in differing.items()}
    exact = facts.get("levels") is not None and 255 % (int(facts["levels"]) - 1) == 0
    distant = ~distances_agree(rows)
    if data is not None:
        ways["the stored original is not the image of the data"] = ~_same_as_data(rows, data)
    sure = {way: mask & exact for way, mask in ways.items()}
    sure["a stored distance is not that of the pictures"] = distant & exact
    bad: Array = np.any(list(sure.values()), axis=0)
    unsure = (again.unsure(rows.columns) | np.any(list(ways.values()), axis=0) | distant) & ~bad
    for way, mask in sure.items():
        if mask.any():
            first, name = int(np.flatnonzero(mask)[0]), way.partition(" ")[0]
            told = (
                {"stored": rows.columns[name][first], "again": again.columns[name][first]} if name in differing else {}
            )
            reason = f"of {plural(int(mask.sum()), 'sample')}, first {ids[first]}: {way.format(**told)}"
            yield Checked("images", about, "differs", reason, int((mask & bad).sum()))
            bad = bad & ~mask  # each image counts once
    counted: Array = np.any(list(sure.values()), axis=0)
    if unsure.any():
        why = "other draws of a random network" if again.random else "rounding"
        reason = (
            f"their answers differ by what {why} explains" if exact else "a PNG rounds them: they are on no grid of it"
        )
        yield Checked("images", about, "unchecked", reason, int(unsure.sum()))
    if agree := int((~counted & ~unsure).sum()):
        yield Checked("images", about, "agrees", count=agree)


def _same_as_data(rows: PicturedRows, data: Dataset) -> Array:
    """Whether each original is the image of its id, with its label where the labels are the data's, `(n,)` bool."""
    places = {int(i): place for place, i in enumerate(data.rows)}
    at = [places.get(int(i), -1) for i in rows.columns["id"]]
    batch = data.batch(torch.tensor(at).clamp_min(0))
    same = (batch.x.to(torch.float32) - rows.clean).abs().flatten(1).amax(1) < 0.5 / 255
    labels = batch.y == torch.from_numpy(np.asarray(rows.columns["y"]))
    known = torch.tensor(at) >= 0
    kept: Array = (known & same & (labels if data.labels_from == "true" else known)).numpy()
    return kept


def _saved(folder: Path, columns: Mapping[str, Array]) -> Iterator[Checked]:
    """The PNG files that --save-images wrote and that hold other bytes than the rows."""
    if not folder.is_dir():
        return
    for sample, image in zip(columns["id"], columns["adv_png"], strict=True):
        path = folder / f"{int(sample)}.png"
        about = f"images/{folder.name}/{path.name}"
        if not path.is_file():
            yield Checked("images", about, "differs", "was saved and is not there")
        elif path.is_symlink() or path.read_bytes() != image:
            yield Checked("images", about, "differs", "is not the image of the rows")
