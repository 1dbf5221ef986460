"""Every number of one cell at once, for the tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vauban.statistics.intervals import Interval, median_interval
from vauban.statistics.summary import (
    Array,
    Columns,
    Conditional,
    Rate,
    broken,
    conditional_mean,
    distortion,
    p_upp,
    population,
    rate,
    robust,
    select,
)


@dataclass(frozen=True)
class Summary:
    """The numbers of a cell; distances in its norm, `population` is the set of all but the first two.

    clean_accuracy and robust_accuracy are over `all`. p_upp is P(d_upp), nan where no d_upp is known. The unrounded
    numbers are nan for L0 and L1, SSIM and PSNR are medians over the successes, nan where they are not images.
    """

    population: str
    n: int
    clean_accuracy: Rate
    robust_accuracy: Rate
    p_suc: Rate
    misclassified: Rate
    median: float
    median_interval: Interval
    conditional: Conditional
    d_upp: float
    p_upp: Rate
    unrounded_p_suc: float
    unrounded_median: float
    median_ssim: float
    median_psnr_db: float
    gradients: float
    queries: float


def summarise(
    columns: Columns, norm: str, name: str = "correct", common: Array | None = None, d_upp: float = math.nan
) -> Summary:
    """Every number of one cell over one set; d_upp is the distance at which P(D) is read off."""
    chosen = select(columns, population(columns, name, common))
    distance = distortion(chosen, norm)
    raw = distortion(chosen, norm, rounded=False) if norm in ("l2", "linf") else np.empty(0)
    return Summary(
        population=name,
        n=len(distance),
        clean_accuracy=rate(columns["clean_correct"]),
        robust_accuracy=rate(robust(columns)),
        p_suc=rate(chosen["success"]),
        misclassified=rate(broken(chosen)),
        median=_median(distance),
        median_interval=median_interval(distance),
        conditional=conditional_mean(distance),
        d_upp=d_upp,
        p_upp=rate(np.empty(0)) if math.isnan(d_upp) else p_upp(distance, d_upp),
        unrounded_p_suc=_mean(np.isfinite(raw)),
        unrounded_median=_median(raw),
        median_ssim=_median(_known(chosen, "ssim")),
        median_psnr_db=_median(_known(chosen, "psnr_db")),
        gradients=_mean(chosen["backwards"]),
        queries=_mean(chosen["forwards"]),
    )


def _mean(values: Array) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _median(values: Array) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _known(columns: Columns, name: str) -> Array:
    if name not in columns:
        return np.empty(0)
    values: Array = np.asarray(columns[name], float)[np.asarray(columns["success"], bool)]
    return values[~np.isnan(values)]
