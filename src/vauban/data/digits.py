"""Handwritten digits that come with vauban: 8x8 grey images, ten classes, nothing to download."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.data import registry
from vauban.data.dataset import Dataset, InMemory
from vauban.data.location import DataLocation, split_of

SPLITS = ("train", "test")
BUDGETS = {"linf": 0.2, "l2": 1.0, "l1": 5.0}
NAMES = tuple("0123456789")
FILE = Path(__file__).with_name("digits.csv.gz")  # a row for each image: 64 grey values, the label


@registry.register("digits", splits=SPLITS, classes=10, levels=256)
def digits(split: str | None, place: DataLocation) -> Dataset:
    """Handwritten digits of the UCI repository, 8x8 grey on the 8-bit pixel grid (1198 train, 599 test)."""
    split = split_of("digits", split, SPLITS, "test")
    pixels, labels = pixels_and_labels(split)
    return Dataset("digits", split, InMemory(pixels), labels, NAMES, budgets=BUDGETS)


def pixels_and_labels(split: str) -> tuple[Tensor, Tensor]:
    """Pixels and labels of the digits.

    The 17 grey values v of the UCI set (E. Alpaydin, C. Kaynak 1998, Optical Recognition of Handwritten Digits, CC BY 4.0;
    its test set, in the file and the order of scikit-learn) become the 8-bit levels round(255 v / 16). Every third
    image of the set's order (positions 2, 5, 8, ...) is a test image; the writers are therefore the same in both splits.

    Args:
        split: 'train' (1198 images) or 'test' (599).

    Returns:
        Pixels uint8 `(n, 1, 8, 8)` and labels int64 `(n,)`.

    Raises:
        ContractError: There is no such split.
    """
    if split not in SPLITS:
        raise ContractError(f"expected a split of digits in {', '.join(SPLITS)}, got {split!r}")
    rows = _rows()
    test = np.arange(len(rows)) % 3 == 2
    kept = rows[test if split == "test" else ~test]
    pixels = np.rint(kept[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    return torch.from_numpy(pixels), torch.from_numpy(kept[:, -1].astype(np.int64))


@functools.cache
def _rows() -> NDArray[np.float64]:
    """The file, read once; nobody writes into it."""
    rows = np.loadtxt(FILE, delimiter=",")
    rows.flags.writeable = False
    return rows
