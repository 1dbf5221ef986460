"""Settings that all cells of a study share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vauban.core.arithmetic import Precision
from vauban.core.parameters import Count, Parameters
from vauban.core.pixel_grid import Levels


@dataclass(frozen=True, eq=False)
class Settings(Parameters):
    """What all cells of a study share. levels="data" takes the pixel levels that the data declare.

    Raises:
        ContractError: A value of another type or out of its range.
    """

    seed: int = 0
    batch_size: Count = 128
    device: str = "cpu"
    levels: Levels | Literal["data"] | None = "data"
    budget: Count | None = None
    save_images: bool = False
    metrics: tuple[str, ...] = ()
    precision: Precision = "float32"
    compiled: bool = False
