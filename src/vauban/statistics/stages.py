"""Accuracy after each stage of an attack that runs several, one after the other. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vauban.statistics.estimates import Estimate, rate
from vauban.statistics.summary import Columns, aimed, robust, select


@dataclass(frozen=True)
class AfterStage:
    """Accuracy that a stage of an attack leaves, with those before it.

    Attributes:
        stage: The label of the stage.
        broke: The number of samples that were right and that it broke first.
        accuracy: Share of the set `all` that is right before the attack and not broken by this stage nor one before it.
    """

    stage: str
    broke: int
    accuracy: Estimate


def after_each(columns: Columns, stages: Sequence[str]) -> tuple[AfterStage, ...]:
    """Robust accuracy over the set `all` after each stage; that after the last one is that of the attack.

    A sample counts against the stage in `broken_by` with the rate of the one image that was judged. On a randomised model,
    where a later stage may have raised that rate, the accuracies before the last are therefore upper bounds.

    Args:
        columns: The columns of a cell, `(n,)` each.
        stages: The labels of the stages, in the order in which they run.

    Returns:
        One for each stage; nothing for an attack of a single stage, or where a broken sample does not say its stage.
    """
    chosen = select(columns, aimed(columns))
    standing = robust(chosen)
    right = 1 - (1 - np.asarray(chosen["clean_correct"], float))  # rounded as `robust` rounds it
    stage = np.asarray(chosen.get("broken_by", np.full(len(standing), np.nan)), float)
    if len(stages) < 2 or (np.isnan(stage) & (standing < right)).any():
        return ()
    broke = (right > 0.5) & (standing <= 0.5)
    return tuple(
        AfterStage(label, int((broke & (stage == k)).sum()), rate(np.where(stage > k, right, standing)))
        for k, label in enumerate(stages)
    )
