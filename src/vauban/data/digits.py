"""Handwritten digits inside scikit-learn: 8x8 grey images, ten classes, nothing to download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.data import registry
from vauban.data.dataset import Dataset, InMemory
from vauban.data.location import DataLocation, split_of

SPLITS = ("train", "test")
BUDGETS = {"linf": 0.2, "l2": 1.0, "l1": 5.0}
NAMES = tuple("0123456789")


@registry.register("digits", splits=SPLITS, classes=10, levels=256)
def digits(split: str | None, place: DataLocation) -> Dataset:
    """Handwritten digits of scikit-learn, 8x8 grey on the 8-bit pixel grid (1198 train, 599 test)."""
    split = split_of("digits", split, SPLITS, "test")
    pixels, labels = pixels_and_labels(split)
    return Dataset("digits", split, InMemory(pixels), labels, NAMES, budgets=BUDGETS)


def pixels_and_labels(split: str) -> tuple[Tensor, Tensor]:
    """Pixels and labels of the digits.

    The 17 grey values v of the UCI set (Alpaydin and Kaynak 1998) become the 8-bit levels round(255 v / 16). Every third
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
    rows = np.loadtxt(_file(), delimiter=",")
    test = np.arange(len(rows)) % 3 == 2
    kept = rows[test if split == "test" else ~test]
    pixels = np.rint(kept[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    return torch.from_numpy(pixels), torch.from_numpy(kept[:, -1].astype(np.int64))


def _file() -> Path:
    """The digits' file in scikit-learn; `load_digits` would import all of it, two more seconds in every process."""
    (folder,) = find_spec("sklearn").submodule_search_locations  # type: ignore[union-attr, misc]
    return Path(folder) / "datasets" / "data" / "digits.csv.gz"
