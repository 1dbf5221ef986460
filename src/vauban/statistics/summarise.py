"""Every number of one cell at once, for the tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vauban.core.tolerance import FLOAT32
from vauban.statistics.estimates import Conditional, Estimate, conditional_mean, median, p_upp, rate
from vauban.statistics.intervals import Array
from vauban.statistics.summary import (
    Columns,
    aimed,
    broken,
    distortion,
    fooled_or_rejected,
    not_finite,
    population,
    rejected,
    rejects,
    robust,
    select,
)


@dataclass(frozen=True)
class Summary:
    """The numbers of a cell; distances in its norm, pixel units of [0,1].

    Attributes:
        population: The set that all but the first two are over.
        n: Its size.
        clean_accuracy: Over every sample.
        robust_accuracy: Over the set `all`.
        left_out: Samples whose own label is the target, in no set.
        not_finite: Samples whose logits are not finite, all of them errors: before the attack, and after it alone.
        p_suc, misclassified: Shares with a success, and with a wrong label inside the budget.
        fooled_or_rejected: Share with a wrong label or rejected; nan for a network that rejects nothing.
        noise_rejected: Share that is rejected with noise of the size of the attack's change; nan likewise.
        median: Over the set, failures infinite.
        conditional: Mean distance of the successes.
        d_upp, p_upp: A distance and P(D) at it, nan where none is known.
        unrounded_p_suc, unrounded_median: Before rounding to pixel levels; nan for L0 and L1.
        median_ssim, median_psnr_db: Over the successes; nan where they are not images.
        gradients, queries: Mean backward and forward passes per sample.
    """

    population: str
    n: int
    clean_accuracy: Estimate
    robust_accuracy: Estimate
    left_out: int
    not_finite: tuple[int, int]
    p_suc: Estimate
    misclassified: Estimate
    fooled_or_rejected: Estimate
    noise_rejected: Estimate
    median: Estimate
    conditional: Conditional
    d_upp: float
    p_upp: Estimate
    unrounded_p_suc: float
    unrounded_median: float
    median_ssim: float
    median_psnr_db: float
    gradients: float
    queries: float


def summarise(
    columns: Columns,
    norm: str,
    name: str = "correct",
    common: Array | None = None,
    d_upp: float = math.nan,
    slack: float = FLOAT32,
) -> Summary:
    """Every number of one cell over one set.

    Args:
        columns: The columns of the cell, `(n,)` each.
        norm: The norm of its distances.
        name: The set: `all`, `correct` or `common`.
        common: The ids of `common`.
        d_upp: The distance at which P(D) is read off, pixel units of [0,1].
        slack: The tolerance of the cell's distances.
    """
    chosen = select(columns, population(columns, name, common))
    distance = distortion(chosen, norm)
    before, after = not_finite(columns)
    _, refused, noisy = rejected(chosen)
    raw = distortion(chosen, norm, rounded=False) if norm in ("l2", "linf") else np.empty(0)
    return Summary(
        population=name,
        n=len(distance),
        clean_accuracy=rate(columns["clean_correct"]),
        robust_accuracy=rate(robust(columns)[aimed(columns)]),
        left_out=int((~aimed(columns)).sum()),
        not_finite=(int(before.sum()), int(after.sum())),
        p_suc=rate(chosen["success"]),
        misclassified=rate(broken(chosen)),
        fooled_or_rejected=rate(fooled_or_rejected(broken(chosen), refused) if rejects(columns) else np.empty(0)),
        noise_rejected=rate(noisy if rejects(columns) else np.empty(0)),
        median=median(distance),
        conditional=conditional_mean(distance),
        d_upp=d_upp,
        p_upp=rate(np.empty(0)) if math.isnan(d_upp) else p_upp(distance, d_upp, slack),
        unrounded_p_suc=_mean(np.isfinite(raw)),
        unrounded_median=median(raw).value,
        median_ssim=median(_known(chosen, "ssim")).value,
        median_psnr_db=median(_known(chosen, "psnr_db")).value,
        gradients=_mean(chosen["backwards"]),
        queries=_mean(chosen["forwards"]),
    )


def _mean(values: Array) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _known(columns: Columns, name: str) -> Array:
    if name not in columns:
        return np.empty(0)
    values: Array = np.asarray(columns[name], float)[np.asarray(columns["success"], bool)]
    return values[~np.isnan(values)]
