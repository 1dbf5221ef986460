"""From judged rows to the rows of `reproduction.json`: a value with its interval, beside what the paper prints."""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa

from vauban.reproduce.declarations import ATTAINED, Setting, TableCell
from vauban.reproduce.distances import Estimate, Judged, Z, attained, estimate, lower
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.printed import Printed
from vauban.statistics.compare import ComparisonRow, compare
from vauban.statistics.intervals import Interval, wilson

UNFINISHED = "Some of its batches failed; they are recorded, and tried again by the same command."
NOT_KEYS = ("value", "certain", "raw", "note")  # columns that say what was printed, not what was measured
DISTANCES = ("D_avg_L2", "D_median_L2", "MAD_avg", "roughness_avg")


def unit(metric: str) -> Literal["rate", "distance"]:
    """Whether a metric is a mean of numbers in [0,1]."""
    return "distance" if metric in DISTANCES else "rate"


def per_image(metric: str, rows: pa.Table) -> np.ndarray[Any, Any]:
    """What a metric of RATES averages, one number in [0,1] for each image `(n,)`."""
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


def measured(cell: TableCell, judged: Judged) -> tuple[Estimate, int]:
    """The number of a cell for each seed, and how many images it is over."""
    if cell.metric in ATTAINED:
        assert cell.craft is not None
        if cell.metric == "MAD_lower":
            return lower(judged, cell.craft.targeted)
        found = attained(judged, cell.craft.targeted)
        return estimate(cell.metric, found, cell.at), len(found.index)
    values = np.stack([per_image(cell.metric, runs[0]) for runs in judged.runs])
    means = [min(1.0, float(one.mean())) for one in values]
    return Estimate(means, interval(cell.metric, values)), values.shape[1]


def row(
    cell: TableCell, judged: Judged | None, printed: Printed | None, experiment: Experiment, setting: Setting
) -> ComparisonRow:
    """The row of one cell: our mean over seeds beside the printed value.

    The paper's sample is `printed_n` images; for the metrics of ATTAINED it is taken to have our share of images that are
    right before the attack. An infinite limit becomes None, and `why` says so. judged None: its jobs did not finish.
    """
    if judged is None:
        found, n, images = Estimate([], None, UNFINISHED), 0, 1
    else:
        found, n = measured(cell, judged)
        images = len(judged.runs[0][0])
    facts = Printed(cell.key, None, True, "", "") if printed is None else printed
    told = compare(
        key={name: text for name, text in cell.key.items() if name not in NOT_KEYS},
        label=cell.label,
        metric=cell.metric,
        per_seed=found.per_seed,
        n=n,
        printed=facts.value,
        printed_n=max(1, round(experiment.printed_n * n / images)),
        setting=setting,
        certain=facts.certain,
        raw=facts.raw,
        note=facts.note,
        ambiguous=experiment.ambiguous,
        interval=found.interval,
        unit=unit(cell.metric),
    )
    return _finite(told, found)


def _finite(told: ComparisonRow, found: Estimate) -> ComparisonRow:
    """JSON has no infinity: None in its place, and words."""
    held = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in told.items()}
    if found.why:
        held["why"] = found.why
    elif found.interval is not None and math.isinf(found.interval.high):
        held["why"] = f"{told['why']} The interval of ours has no finite upper limit."
    return cast("ComparisonRow", held)
