"""From judged rows to the rows of `reproduction.json`: a value with its interval, beside what the paper prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vauban.experiments.printed import Printed
from vauban.experiments.spec import Cell, Experiment, Setting
from vauban.store.intervals import Interval, wilson
from vauban.store.reproduction import Row, compare

Z = 1.959963984540054  # of a two-sided 95 % interval
NOT_KEYS = ("value", "certain", "raw", "note")  # columns that say what was printed, not what was measured


def per_image(metric: str, rows: pa.Table) -> np.ndarray[Any, Any]:
    """What a metric averages, one number in [0,1] for each image `(n,)`."""
    label, y, target = (rows[name].to_numpy() for name in ("label", "y", "target"))
    values: dict[str, Any] = {
        "accuracy": label == y,
        "misclassification_rate": label != y,
        "targeted_success_rate": label == target,
        "target_confidence": rows["p_target"].to_numpy(),
    }
    return np.asarray(values[metric], float)


def interval(metric: str, values: np.ndarray[Any, Any]) -> Interval:
    """95 % interval of the mean of `values` `(seeds, n)` over images: Wilson for rates, normal for a mean confidence.

    Seeds share their images, so the sample size stays n: the rate of an image over seeds is in [0,1] and Wilson's interval
    then conservative.
    """
    image = values.mean(0)
    n = len(image)
    if metric != "target_confidence":
        return wilson(min(float(image.sum()), n), n)
    half = Z * float(image.std(ddof=1)) / math.sqrt(n) if n > 1 else 1.0
    return Interval(max(0.0, float(image.mean()) - half), min(1.0, float(image.mean()) + half))


def row(
    cell: Cell, tables: Sequence[pa.Table], printed: Printed | None, experiment: Experiment, setting: Setting
) -> Row:
    """The row of one cell: our mean over images and seeds beside the printed value; tables: the judged rows by seed."""
    values = np.stack([per_image(cell.metric, table) for table in tables])
    means = [min(1.0, float(one.mean())) for one in values]
    facts = Printed(cell.key, None, True, "", "") if printed is None else printed
    return compare(
        key={name: text for name, text in cell.key.items() if name not in NOT_KEYS}, label=cell.label, metric=cell.metric,
        per_seed=means, n=values.shape[1], printed=facts.value, printed_n=experiment.printed_n, setting=setting,
        certain=facts.certain, raw=facts.raw, note=facts.note, ambiguous=experiment.ambiguous,
        interval=interval(cell.metric, values),
    )  # fmt: skip
