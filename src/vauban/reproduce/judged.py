"""Judged rows of saved images, and the nearest success of each image among the runs of an attack. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from vauban.core.errors import ContractError
from vauban.statistics.estimates import nearest
from vauban.statistics.summary import fooled_or_rejected

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Judged:
    """Rows that a cell is computed from.

    Attributes:
        runs: Judged rows by training seed and seed, then by run of the attack.
        clean: Those of the originals by training seed, where the cell asks for them.
        values: The values of a metric `(n,)` of each run, where the cell asks for them.
    """

    runs: list[list[pa.Table]]
    clean: Sequence[pa.Table] = ()
    values: list[list[Array]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Attained:
    """The nearest success of each of the N images that the judge labels right before the attack, with any training seed.

    Attributes:
        distance: `(seeds, N)`, L2, pixels of [0,1], infinite without a success.
        run: `(seeds, N)`, the run that it is of.
        value: `(seeds, N)`, its value of the cell's metric.
        index: `(N,)`, positions among all images.
    """

    distance: Array
    run: Array
    value: Array
    index: Array

    @cached_property
    def fooled(self) -> Array:
        """Whether an image has a success, `(seeds, N)`."""
        return np.isfinite(self.distance)


def attained(judged: Judged, targeted: bool) -> Attained:
    """The nearest success of each image that the judge labels right before the attack, and whose label is not the target.

    Args:
        judged: The rows, with those of the originals.
        targeted: Whether a success is the target's label, else any wrong one.

    Raises:
        ContractError: The judged originals are missing.
    """
    if not judged.clean:
        raise ContractError(
            "expected the judged originals beside the judged crafts, got none; judge the clean images too"
        )
    y = judged.clean[0]["y"].to_numpy()
    right = np.all([clean["label"].to_numpy() == y for clean in judged.clean], axis=0)
    aims = judged.runs[0][0]["target"].to_numpy() != y if targeted else True
    index = np.flatnonzero(right & aims)
    closest, run = nearest(
        np.stack([np.stack([_reached(t, targeted)[index] for t in runs]) for runs in judged.runs], 1)
    )
    value = np.zeros(run.shape)
    if judged.values:
        value = np.stack([np.stack([v[index] for v in runs]) for runs in judged.values], 1)
        value = np.take_along_axis(value, run[None], 0)[0]
    return Attained(closest, run, value, index)


def common(first: Attained, second: Attained) -> tuple[Array, Array]:
    """The values `(seeds, n)` of two attacks, of one judge, on the n images that both fool with every seed."""
    both = (first.fooled & second.fooled).all(0)
    return first.value[:, both], second.value[:, both]


def pair(judged: Judged, targeted: bool) -> tuple[Array, Array]:
    """The values `(seeds, n)` of the two runs of a cell, as of two attacks, on the n images that both fool.

    Raises:
        ContractError: Not two runs.
    """
    if any(len(runs) != 2 for runs in judged.runs):
        raise ContractError(
            "expected a craft and one to compare it with, got another number of runs; name one in `also`"
        )
    first, second = (
        Judged([[runs[k]] for runs in judged.runs], judged.clean, [[values[k]] for values in judged.values])
        for k in (0, 1)
    )
    return common(attained(first, targeted), attained(second, targeted))


def per_image(metric: str, rows: pa.Table) -> Array:
    """Numbers in [0,1] that a metric of RATES averages, one for each image `(n,)`.

    Those about the target leave out the images whose own label it is.
    """
    label, y, target = (rows[name].to_numpy() for name in ("label", "y", "target"))
    wrong, refused = _wrong(rows), _rejected(rows)
    values: dict[str, Any] = {
        "accuracy": label == y,
        "misclassification_rate": wrong,
        "fooled_or_rejected": fooled_or_rejected(wrong.astype(float), refused.astype(float)),
        "targeted_success_rate": label == target,
        "target_confidence": rows["p_target"].to_numpy(),
    }
    kept = target != y if metric in ("targeted_success_rate", "target_confidence") else slice(None)
    return np.asarray(values[metric], float)[kept]


def rejections(judged: Judged) -> float:
    """The share of the images, of all runs and seeds, that the judge rejects."""
    return float(np.mean([_rejected(rows) for runs in judged.runs for rows in runs]))


def _reached(rows: pa.Table, targeted: bool) -> Array:
    """The L2 distance of each image, infinite where it does not reach the goal."""
    label = rows["label"].to_numpy()
    success = label == rows["target"].to_numpy() if targeted else _wrong(rows)
    return np.where(success, rows["l2"].to_numpy(), np.inf)


def _wrong(rows: pa.Table) -> Array:
    """Whether an image is given a wrong class `(n,)`; 'rejected' is none."""
    wrong: Array = (rows["label"].to_numpy() != rows["y"].to_numpy()) & ~_rejected(rows)
    return wrong


def _rejected(rows: pa.Table) -> Array:
    return np.asarray(rows["rejected"].to_numpy(zero_copy_only=False), bool)
