"""The handwritten digits inside scikit-learn: 8x8 grey images, ten classes, nothing to download."""

from __future__ import annotations

from vauban.core.digits import SPLITS, digits
from vauban.data.dataset import Dataset, Stored
from vauban.data.named import Place, registry, split_of

BUDGETS = {"linf": 0.2, "l2": 1.0, "l1": 5.0}
NAMES = tuple("0123456789")


@registry.register("digits", splits=SPLITS, classes=10, levels=256)
def make(split: str | None, place: Place) -> Dataset:
    """Handwritten digits of scikit-learn, 8x8 grey on the 8-bit lattice (1198 train, 599 test)."""
    split = split_of("digits", split, SPLITS, "test")
    pixels, labels = digits(split)
    return Dataset("digits", split, Stored(pixels), labels, NAMES, budgets=BUDGETS)
