"""Image folders: one sub-folder per class, or files that carry a class index beside a `classes.csv`."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import torch

from vauban.core.errors import ContractError
from vauban.core.parameters import Count
from vauban.data import registry
from vauban.data.dataset import Dataset
from vauban.data.encoded import Encoded, Framing
from vauban.data.location import DataLocation, MissingData

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})
BUDGETS = {"linf": 4 / 255, "l2": 3.0}


def _images(folder: Path) -> list[Path]:
    """Image files of a folder in alphabetical order, hidden ones left out."""
    shown = (path for path in folder.iterdir() if not path.name.startswith("."))  # macOS writes ._x.png beside x.png
    return sorted(path for path in shown if path.suffix.lower() in IMAGES and path.is_file())


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names of a csv file.

    Args:
        path: The file, with the columns `index` and `name`; others are ignored.

    Returns:
        The names in the order of their indices.

    Raises:
        ContractError: The file is no such table, or an index between 0 and the last is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            names = {int(row["index"]): row["name"] for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ContractError(f"{path} is not a class index with the columns index,name: {error!r}") from error
    if not names or sorted(names) != list(range(len(names))):
        raise ContractError(f"expected the indices 0, 1, ... without a gap in {path}, got {len(names)} of them")
    return tuple(names[i] for i in range(len(names)))


def _from_folders(folder: Path) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Files, labels and class names of a folder whose sub-folders, in alphabetical order, are the classes."""
    names = tuple(sorted(sub.name for sub in folder.iterdir() if sub.is_dir() and not sub.name.startswith(".")))
    pairs = [(path, label) for label, name in enumerate(names) for path in _images(folder / name)]
    return [path for path, _ in pairs], [label for _, label in pairs], names


def _from_prefix(files: list[Path], names: tuple[str, ...], index: Path) -> list[int]:
    """Labels in front of the file names: that of `0002_anything.jpg` is 2. Raises ContractError."""
    labels = []
    for path in files:
        prefix = re.match(r"(\d+)(?=[_.\-])", path.name)
        if prefix is None:
            raise ContractError(f"expected a class index in front of the file name, like 0002_name.jpg, got {path}")
        if int(prefix[1]) >= len(names):
            raise ContractError(f"{path} has the class index {int(prefix[1])}, but {index} ends at {len(names) - 1}")
        labels.append(int(prefix[1]))
    return labels


def _open(name: str, folder: Path, classes: Path | None, framing: Framing) -> Dataset:
    """The data set of a folder.

    Args:
        name: Name of the data set.
        folder: The images, or one sub-folder of images per class.
        classes: File of class names; None for a `classes.csv` in the folder or beside it. Images without one are
            unlabelled.
        framing: Size and colour of the images.

    Raises:
        MissingData: There are no images.
        ContractError: Labels and class names do not fit.
    """
    files = _images(folder)
    index = classes or next((p for p in (folder / "classes.csv", folder.parent / "classes.csv") if p.is_file()), None)
    labelled = True
    if not files:
        files, labels, names = _from_folders(folder)
    elif index is not None:
        names = read_classes(index)
        labels = _from_prefix(files, names, index)
    else:
        labels, names, labelled = [-1] * len(files), (), False
    if not files:
        raise MissingData(f"{name}: expected images, or one sub-folder of images per class, in {folder}, found none")
    source = Encoded(lambda i: files[i].read_bytes(), lambda i: str(files[i]), framing)
    return Dataset(
        name,
        folder.name,
        source,
        torch.tensor(labels),
        names,
        budgets=BUDGETS,
        labels_from="true" if labelled else "none",
    )


@registry.register("folder", levels=256)
def folder(
    split: str | None = None,
    place: DataLocation | None = None,
    path: str = ".",
    size: Count | None = None,
    crop: Count | None = None,
    classes: str | None = None,
    grey: bool = False,
) -> Dataset:
    """A folder of images: one sub-folder per class, or 0002_name.jpg files with classes.csv (columns index,name).

    Args:
        split: A sub-folder of the folder, or None.
        place: Not used.
        path: The folder.
        size: Pixels that the shorter side is resized to.
        crop: Side of the square then cut from the centre.
        classes: File of class names; a `classes.csv` in the folder or beside it unless given.
        grey: Whether colours become grey.

    Raises:
        MissingData: There is no such folder, or no image in it.
        ContractError: A file is no image, or has no label where others do.
    """
    where = Path(path).expanduser()
    where = where / split if split else where
    if not where.is_dir():
        raise MissingData(f"folder: expected path={where} to be a folder of images, it does not exist")
    return _open("folder", where, None if classes is None else Path(classes).expanduser(), Framing(size, crop, grey))


@registry.register("imagenet", classes=1000, levels=256)
def imagenet(split: str | None, place: DataLocation, size: Count | None = None, crop: Count | None = 224) -> Dataset:
    """ImageNet images: imagenet/SPLIT below the data root, sub-folders by synset or indexed files with classes.csv.

    Args:
        split: Sub-folder of imagenet/; None for `val`.
        place: The data root.
        size: Pixels that the shorter side is resized to.
        crop: Side of the square then cut from the centre.

    Raises:
        MissingData: There is no such folder, or no image in it.
    """
    where = place.root / "imagenet" / (split or "val")
    if not where.is_dir():
        raise MissingData(
            f"imagenet: expected the folder {where} (name a split like imagenet/val); ImageNet cannot be downloaded freely"
        )
    return _open("imagenet", where, None, Framing(size, crop))
