"""From judged rows to the rows of `reproduction.json`: a value with its interval, beside what the paper prints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from vauban.reproduce.declarations import ATTAINED, MAD_SHARES, Setting, TableCell, of_network, of_pair
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.judged import Array, Attained, Judged, attained, pair, per_image, rejections
from vauban.reproduce.printed import Printed
from vauban.statistics.compare import ComparisonRow, compare
from vauban.statistics.estimates import Estimate, conditional_mean, median, p_upp, rate

UNFINISHED = "It is not finished: a batch failed, or a package is not installed. The same command tries again."
NOT_KEYS = ("value", "certain", "raw", "note", "n")  # columns that say what was printed, not what was measured
DISTANCES = ("D_avg_L2", "D_median_L2", "MAD_avg", "roughness_avg")
NONE_COMMON = "No image is fooled by both, so there is nothing to compare."


def unit(metric: str) -> Literal["rate", "distance"]:
    """Whether a metric is a mean of numbers in [0,1]; one of a network or of a pair is shown as a distance is."""
    return "distance" if metric in DISTANCES or of_network(metric) or of_pair(metric) else "rate"


@dataclass(frozen=True)
class CellNumber:
    """The number of a cell.

    Attributes:
        estimate: None where it is not defined.
        n: How many images it is over.
        why: A sentence that explains None, or says which images count.
    """

    estimate: Estimate | None
    n: int
    why: str = ""

    @property
    def per_seed(self) -> list[float]:
        """The number with each seed; none where it is not defined."""
        return [] if self.estimate is None else list(self.estimate.per_seed)


UNMEASURED = CellNumber(None, 0, UNFINISHED)
"""The number of a cell whose jobs did not finish."""


def measured(cell: TableCell, judged: Judged) -> CellNumber:
    """The number of a cell with its interval over images.

    Args:
        cell: Its metric and its craft.
        judged: The rows it is computed from; for the metrics of ATTAINED also the originals.
    """
    if cell.metric in ATTAINED:
        assert cell.craft is not None
        if cell.metric in MAD_SHARES:
            return mad_share(cell.metric, judged, cell.craft.targeted)
        return number(cell.metric, attained(judged, cell.craft.targeted), cell.at)
    if of_network(cell.metric) or of_pair(cell.metric):
        return mean_number(np.stack([values[0] for values in judged.values]))
    values = np.stack([per_image(cell.metric, runs[0]) for runs in judged.runs])
    told = conditional_mean(values, highest=1.0) if cell.metric == "target_confidence" else rate(values)
    return CellNumber(told, values.shape[1])


def number(metric: str, reached: Attained, at: float | None = None) -> CellNumber:
    """A metric of ATTAINED but MAD_SHARES.

    Args:
        metric: Its name.
        reached: The nearest success of each image.
        at: The distance of P_upp, L2, pixel units of [0,1].
    """
    n = reached.distance.shape[1]
    if n == 0:
        return CellNumber(None, 0, "The judge labels no image right before the attack: there is nothing to fool.")
    if metric == "P_suc":
        return CellNumber(rate(reached.fooled), n)
    if metric == "relative_accuracy":
        return CellNumber(rate(~reached.fooled), n)
    if metric == "P_upp":
        assert at is not None
        return CellNumber(p_upp(reached.distance, at), n)
    if metric == "D_median_L2":
        middle = median(reached.distance)
        if math.isfinite(middle.value):
            return CellNumber(middle, n)
        return CellNumber(None, n, "At least half of the images are not fooled: the median distance is infinite.")
    if not reached.fooled.any(1).all():
        return CellNumber(None, n, "No image is fooled, so no distance of a success exists.")
    values = reached.distance if metric == "D_avg_L2" else reached.value
    return CellNumber(conditional_mean(values, reached.fooled), n)


def mean_number(values: Array) -> CellNumber:
    """The mean of a metric of a network or of a pair over the images that have a value.

    Args:
        values: `(seeds, n)`, NaN where an image has none.
    """
    n = values.shape[1]
    if np.isnan(values).all(1).any():
        return CellNumber(None, n, "No image has a value with every seed.")
    told = conditional_mean(values, ~np.isnan(values))
    return CellNumber(told, n, "" if told.p_suc == 1 else f"Over the {told.p_suc:.1%} of the images that have a value.")


def mad_share(metric: str, judged: Judged, targeted: bool) -> CellNumber:
    """Of the images that both of two runs fool, with every seed, the share on which the first has the lower, the same, or
    the higher value.

    Args:
        metric: One of MAD_SHARES.
        judged: The rows of the two runs, with those of the originals and the values.
        targeted: Whether a success is the target's label, else any wrong one.
    """
    first, second = pair(judged, targeted)
    n = first.shape[1]
    if n == 0:
        return CellNumber(None, 0, NONE_COMMON)
    holds = {"MAD_lower": np.less, "MAD_tie": np.equal, "MAD_higher": np.greater}
    return CellNumber(rate(holds[metric](first, second)), n)


def row(
    cell: TableCell,
    judged: Judged | None,
    ours: CellNumber,
    printed: Printed | None,
    experiment: Experiment,
    setting: Setting,
) -> ComparisonRow:
    """The row of one cell: our mean over seeds beside the printed value.

    The paper's sample is `printed_n` images; for the metrics of ATTAINED it is taken to have our share of images that are
    right before the attack. An infinite limit becomes None, and `why` says so, as it does where the judge rejects images.

    Args:
        cell: The cell.
        judged: The rows it is computed from; None where its jobs did not finish.
        ours: Its number, `UNMEASURED` where its jobs did not finish.
        printed: The paper's number, None where it prints none.
        experiment: Gives the size of the paper's sample, and what its text leaves open.
        setting: Whether networks and data are the paper's.
    """
    images = 1 if judged is None else len(judged.runs[0][0])
    facts = Printed(cell.key, None, True, "", "") if printed is None else printed
    told = compare(
        key={name: text for name, text in cell.key.items() if name not in NOT_KEYS},
        label=cell.label,
        metric=cell.metric.partition(":")[0],
        per_seed=ours.per_seed,
        n=ours.n,
        printed=facts.value,
        printed_n=max(1, round(int(facts.columns.get("n") or experiment.printed_n) * ours.n / images)),
        setting=setting,
        certain=facts.certain,
        raw=facts.raw,
        note=facts.note,
        ambiguous=experiment.open_for(cell.key),
        interval=None if ours.estimate is None else ours.estimate.interval,
        unit=unit(cell.metric),
    )
    if judged is not None and (share := rejections(judged)):
        told["why"] = (
            f"{told['why']} The judge rejects {share:.1%} of these images, which counts as no success.".strip()
        )
    return _finite(told, ours)


def _finite(told: ComparisonRow, ours: CellNumber) -> ComparisonRow:
    """JSON has no infinity: None in its place, and words."""
    held = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in told.items()}
    if ours.why:
        held["why"] = ours.why if ours.estimate is None else f"{ours.why} {told['why']}".strip()
    elif ours.estimate is not None and math.isinf(ours.estimate.interval.high):
        held["why"] = f"{told['why']} The interval of ours has no finite upper limit."
    return cast("ComparisonRow", held)
