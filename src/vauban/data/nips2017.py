"""Development images of the NIPS 2017 competition on adversarial attacks and defences (arXiv:1804.00097)."""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from vauban.core.errors import ContractError
from vauban.data import registry
from vauban.data.dataset import Dataset
from vauban.data.encoded import Encoded, Framing
from vauban.data.folder import read_classes
from vauban.data.location import DataLocation, split_of

CLASSES = 1000
SIZE = 299
BUDGETS = {"linf": 4 / 255, "l2": 3.0}
COLUMNS = ("ImageId", "TrueLabel", "TargetClass")


def _rows(path: Path) -> list[tuple[str, int, int]]:
    """Rows (image, label, target) of the table, labels counted from 0. Raises ContractError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            written = [tuple(row[name] for name in COLUMNS) for row in csv.DictReader(file)]
        rows = [(name, int(label) - 1, int(target) - 1) for name, label, target in written]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ContractError(f"{path} is not a table with the columns {', '.join(COLUMNS)}: {error!r}") from error
    outside = [name for name, *labels in rows if not all(0 <= label < CLASSES for label in labels)]
    if not rows or outside:
        raise ContractError(
            f"expected labels from 1 to {CLASSES} in {path}, got {outside[0] if outside else 'no rows'}"
        )
    return rows


@registry.register("nips2017", classes=CLASSES, levels=256)
def nips2017(split: str | None, place: DataLocation) -> Dataset:
    """NIPS 2017 development images with their targets: nips2017/images.csv and nips2017/images/*.png, 299x299.

    images.csv has the columns ImageId, TrueLabel and TargetClass, labels counted from 1 as in the competition.
    Class names are those of nips2017/classes.csv (index,name) where it is there, else the numbers.

    Args:
        split: 'dev' or None.
        place: The data root.

    Raises:
        MissingData: The table is absent.
        ContractError: The table or an image is not as it should be.
    """
    name = split_of("nips2017", split, ("dev",), "dev")
    where = place.root / "nips2017"
    if not (where / "images.csv").is_file():
        raise place.missing("nips2017", "nips2017/images.csv and nips2017/images/*.png")
    rows = _rows(where / "images.csv")
    files = [where / "images" / f"{image}.png" for image, _, _ in rows]
    if absent := [str(file) for file in files if not file.is_file()]:
        raise ContractError(
            f"expected an image for every row of images.csv, {len(absent)} are missing, e.g. {absent[0]}"
        )
    index = where / "classes.csv"
    names = read_classes(index) if index.is_file() else tuple(map(str, range(CLASSES)))
    source = Encoded(lambda i: files[i].read_bytes(), lambda i: str(files[i]), Framing())
    labels, targets = (torch.tensor([row[k] for row in rows]) for k in (1, 2))
    dataset = Dataset("nips2017", name, source, labels, names, budgets=BUDGETS, targets=targets)
    if dataset.shape != (3, SIZE, SIZE):
        raise ContractError(
            f"expected {SIZE}x{SIZE} images in {where / 'images'}, got {dataset.shape[1]}x{dataset.shape[2]}"
        )
    return dataset
